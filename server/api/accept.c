#include "api/accept.h"

#include <stdio.h>
#include <strings.h>

#include "base/check.h"

static const struct {
    enum api_media media;
    const char *name; /* type/subtype in lower case */
    const char *full;
} medias[] = {
    {API_MEDIA_JSON, "application/json", "application/json"},
    {API_MEDIA_CSV, "text/csv", "text/csv; charset=utf-8"},
    {API_MEDIA_NDJSON, "application/x-ndjson", "application/x-ndjson"},
    {API_MEDIA_EVENTS, "text/event-stream", "text/event-stream"},
    {API_MEDIA_TEXT, "text/plain", "text/plain; version=0.0.4; charset=utf-8"},
    {API_MEDIA_HTML, "text/html", "text/html; charset=utf-8"},
    {API_MEDIA_YAML, "application/yaml", "application/yaml"},
    {API_MEDIA_NDJSON, "application/ndjson", "application/x-ndjson"},
    {API_MEDIA_NDJSON, "application/jsonl", "application/x-ndjson"},
    {API_MEDIA_JSON, "application/problem+json", "application/json"},
};

const char *api_media_type(enum api_media m)
{
    for (size_t i = 0; i < COUNT_OF(medias); i++) {
        if (medias[i].media == m) {
            return medias[i].full;
        }
    }
    return "application/octet-stream";
}

static struct view trim(struct view v)
{
    while (v.len > 0 && (v.data[0] == ' ' || v.data[0] == '\t')) {
        v = view_skip(v, 1);
    }
    while (v.len > 0 && (v.data[v.len - 1] == ' ' || v.data[v.len - 1] == '\t')) {
        v.len--;
    }
    return v;
}

static struct view cut_at(struct view *left, char mark)
{
    const uint8_t *at = left->len == 0 ? NULL : memchr(left->data, mark, left->len);
    size_t n = at == NULL ? left->len : (size_t)(at - left->data);
    struct view piece = view_of(left->data, n);
    *left = view_skip(*left, at == NULL ? n : n + 1);
    return trim(piece);
}

/* The q of a media range in thousandths; 1000 when it has none. */
static int quality(struct view params)
{
    while (params.len > 0) {
        struct view p = cut_at(&params, ';');
        if (p.len < 3 || (p.data[0] | 0x20) != 'q' || p.data[1] != '=') {
            continue;
        }
        int q = p.data[2] == '1' ? 1000 : 0;
        int unit = 100;
        for (size_t i = 4; i < p.len && unit > 0 && q < 1000; i++, unit /= 10) {
            q += p.data[i] >= '0' && p.data[i] <= '9' ? (p.data[i] - '0') * unit : 0;
        }
        return q > 1000 ? 1000 : q;
    }
    return 1000;
}

/* How closely a range names a media type: 3 exactly, 2 by its type, 1 by all, 0 not. */
static int range_match(struct view range, const char *name)
{
    size_t len = strlen(name);
    size_t slash = strcspn(name, "/");
    if (range.len == len && strncasecmp((const char *)range.data, name, len) == 0) {
        return 3;
    }
    if (view_eq_str(range, "*/*") || view_eq_str(range, "*")) {
        return 1;
    }
    return range.len == slash + 2 && range.data[slash + 1] == '*' &&
                   strncasecmp((const char *)range.data, name, slash + 1) == 0
               ? 2
               : 0;
}

/* The quality of one media type under the whole header: the closest range decides. */
static int media_quality(struct view header, const char *name)
{
    int best = 0;
    int q = 0;
    while (header.len > 0) {
        struct view params = cut_at(&header, ',');
        struct view range = cut_at(&params, ';');
        int match = range_match(range, name);
        if (match > best) {
            best = match;
            q = quality(params);
        }
    }
    return q;
}

unsigned api_accept(const char *accept, unsigned offered)
{
    struct view header = trim(view_str(accept));
    unsigned best = 0;
    int best_q = 0;
    for (size_t i = 0; i < COUNT_OF(medias); i++) {
        if ((medias[i].media & offered) == 0) {
            continue;
        }
        int q = header.len == 0 ? 1000 : media_quality(header, medias[i].name);
        if (q > best_q) {
            best_q = q;
            best = medias[i].media;
        }
    }
    return best;
}

unsigned api_content_type(const char *content_type)
{
    struct view header = view_str(content_type);
    struct view name = cut_at(&header, ';');
    for (size_t i = 0; i < COUNT_OF(medias); i++) {
        if (range_match(name, medias[i].name) == 3) {
            return medias[i].media;
        }
    }
    return 0;
}

bool api_if_match(const char *if_match, int64_t version)
{
    char tag[32];
    (void)snprintf(tag, sizeof(tag), "\"%lld\"", (long long)version);
    struct view left = view_str(if_match);
    while (left.len > 0) {
        struct view one = cut_at(&left, ',');
        if (view_eq_str(one, "*") || view_eq_str(one, tag)) {
            return true;
        }
    }
    return false;
}
