#include "auth_bench.h"
#include "base/check.h"

Test(token, a_new_token_has_its_prefix_256_random_bits_and_its_hash)
{
    char first[64], second[64];
    uint8_t hash[32], expected[32];
    cr_assert_eq(auth_token_new("sbd_", first, hash), ERR_OK);
    cr_assert_eq(auth_token_new("sbd_", second, expected), ERR_OK);
    cr_expect_eq(strlen(first), 4 + 43);
    cr_expect_eq(strncmp(first, "sbd_", 4), 0);
    cr_expect_eq(
        strspn(first + 4, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 43);
    cr_expect_str_neq(first, second);
    cr_assert_eq(auth_hash(view_str(first), expected), ERR_OK);
    cr_expect_arr_eq(hash, expected, 32);
}

Test(token, the_hash_is_sha_256)
{
    /* FIPS 180-2, appendix B.1 */
    static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                  0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                  0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    uint8_t hash[32];
    cr_assert_eq(auth_hash(VIEW("abc"), hash), ERR_OK);
    cr_expect_arr_eq(hash, abc, 32);
}

Test(scope, words_are_known_or_mean_nothing)
{
    cr_expect_eq(auth_scope_parse(VIEW("admin")), AUTH_ADMIN);
    cr_expect_eq(auth_scope_parse(VIEW("devices:read")), AUTH_DEVICES_READ);
    cr_expect_eq(auth_scope_parse(VIEW("commands:write")), AUTH_COMMANDS_WRITE);
    static const char *const unknown[] = {
        "", "Admin", "devices", "devices:", "admin ", "*", "devices:read,admin"};
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        cr_expect_eq(auth_scope_parse(view_str(unknown[i])), 0, "%s", unknown[i]);
    }
}

static struct credential credential(int64_t id, int32_t device, enum credential_kind kind,
                                    const char *secret)
{
    struct credential c = {.id = id,
                           .device_id = device,
                           .kind = kind,
                           .not_before_us = CLOCK_NONE,
                           .not_after_us = CLOCK_NONE};
    cr_assert_eq(auth_hash(view_str(secret), c.hash), ERR_OK);
    return c;
}

Test(token, only_a_known_valid_unrevoked_token_of_an_enabled_device_is_let_in)
{
    struct auth_bench b;
    auth_bench_open(&b);
    auth_bench_device(&b, 1, "d1", true);
    auth_bench_device(&b, 2, "d2", false);
    int64_t now = clock_wall_us();
    struct credential c = credential(10, 1, CREDENTIAL_TOKEN, "good");
    auth_bench_credential(&b, c);
    c = credential(11, 1, CREDENTIAL_TOKEN, "window");
    c.not_before_us = now - CLOCK_HOUR_US;
    c.not_after_us = now + CLOCK_HOUR_US;
    auth_bench_credential(&b, c);
    c = credential(12, 1, CREDENTIAL_TOKEN, "revoked");
    c.revoked = true;
    auth_bench_credential(&b, c);
    c = credential(13, 1, CREDENTIAL_TOKEN, "expired");
    c.not_after_us = now;
    auth_bench_credential(&b, c);
    c = credential(14, 1, CREDENTIAL_TOKEN, "early");
    c.not_before_us = now + CLOCK_HOUR_US;
    auth_bench_credential(&b, c);
    auth_bench_credential(&b, credential(15, 2, CREDENTIAL_TOKEN, "disabled"));
    auth_bench_credential(&b, credential(16, 3, CREDENTIAL_TOKEN, "no device"));
    auth_bench_credential(&b, credential(17, 1, CREDENTIAL_CERTIFICATE, "certificate bytes"));

    static const struct {
        const char *token;
        int64_t id; /* 0: refused */
    } cases[] = {
        {"good", 10}, {"window", 11},  {"revoked", 0},   {"expired", 0},
        {"early", 0}, {"disabled", 0}, {"no device", 0}, {"certificate bytes", 0},
        {"goo", 0},   {"good ", 0},    {"", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct auth_identity who = {.credential_id = -1};
        enum err e = auth_token(b.auth, view_str(cases[i].token), &who);
        cr_expect_eq(e, cases[i].id != 0 ? ERR_OK : ERR_DENIED, "%s", cases[i].token);
        cr_expect_eq(who.credential_id, e == ERR_OK ? cases[i].id : -1, "%s", cases[i].token);
        if (e == ERR_OK) {
            cr_expect_str_eq(who.device->name, "d1");
            auth_identity_fini(&who);
            cr_expect_null(who.device);
        }
    }
    uint8_t *huge = calloc(1, AUTH_SECRET_MAX + 1);
    struct auth_identity who;
    cr_expect_eq(auth_token(b.auth, view_of(huge, AUTH_SECRET_MAX + 1), &who), ERR_DENIED);
    free(huge);
    auth_bench_close(&b);
}
