/* Reads the names out of a client certificate that the TLS layer has verified. */
#include "auth/auth_internal.h"
#include "auth/openssl.h"
#include "base/clock.h"
#include "base/ident.h"

static void add_name(struct auth_names *names, struct view name)
{
    /* Checked after extraction: a NUL or a wildcard inside never comes through. */
    if (names->count < AUTH_NAMES_MAX && ident_valid(name)) {
        (void)view_copy(name, names->names[names->count], sizeof(names->names[0]));
        names->count++;
    }
}

static enum err add_common_name(const X509 *cert, struct auth_names *names)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) {
        return ERR_OK;
    }
    if (X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) {
        return ERR_MALFORMED; /* which of them is meant is anybody's guess */
    }
    unsigned char *utf8 = NULL;
    int len =
        ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (len < 0) {
        return ERR_MALFORMED;
    }
    add_name(names, view_of(utf8, (size_t)len));
    OPENSSL_free(utf8);
    return ERR_OK;
}

static void add_alternative_names(const X509 *cert, struct auth_names *names)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; all != NULL && i < sk_GENERAL_NAME_num(all); i++) {
        int kind = 0;
        const ASN1_STRING *s = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &kind);
        if (kind == GEN_DNS) {
            add_name(names, view_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)));
        }
    }
    GENERAL_NAMES_free(all);
}

static bool time_us(const ASN1_TIME *t, int64_t *ret_us)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1) {
        return false;
    }
    *ret_us = clock_days(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday) * CLOCK_DAY_US +
              (tm.tm_hour * 3600LL + tm.tm_min * 60LL + tm.tm_sec) * CLOCK_SECOND_US;
    return true;
}

/* Of what OpenSSL has just refused to read. */
static enum err unreadable(void)
{
    for (unsigned long why = ERR_get_error(); why != 0; why = ERR_get_error()) {
        if (ERR_GET_REASON(why) == ERR_R_MALLOC_FAILURE) {
            return ERR_NOMEM; /* ours: the peer is not to be told that its certificate is bad */
        }
    }
    return ERR_MALFORMED;
}

enum err auth_certificate_names(struct view der, struct auth_names *ret_names)
{
    if (der.len == 0 || der.len > AUTH_DER_MAX) {
        return ERR_LIMIT;
    }
    const unsigned char *at = der.data;
    ERR_clear_error();
    X509 *cert = d2i_X509(NULL, &at, (long)der.len);
    if (cert == NULL) {
        return unreadable();
    }
    struct auth_names names = {0};
    enum err e = at != der.data + der.len ? ERR_MALFORMED : ERR_OK;
    if (e == ERR_OK && (!time_us(X509_get0_notBefore(cert), &names.not_before_us) ||
                        !time_us(X509_get0_notAfter(cert), &names.not_after_us))) {
        e = ERR_MALFORMED;
    }
    if (e == ERR_OK) {
        e = add_common_name(cert, &names);
    }
    if (e == ERR_OK) {
        add_alternative_names(cert, &names);
        *ret_names = names;
    }
    X509_free(cert);
    ERR_clear_error();
    return e;
}
