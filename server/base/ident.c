#include "base/ident.h"

#include "base/utf8.h"

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == ':' || c == '-';
}

bool ident_valid(struct view name)
{
    if (name.len == 0 || name.len > IDENT_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (!is_plain(name.data[i])) {
            return false;
        }
    }
    return true;
}

bool ident_metric_valid(struct view name)
{
    if (name.len == 0 || name.len > IDENT_MAX) {
        return false;
    }
    bool ascii = true;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        if (c >= 0x80) {
            ascii = false;
            /* U+0080 to U+009F are control characters too. */
            if (c == 0xC2 && i + 1 < name.len && name.data[i + 1] < 0xA0) {
                return false;
            }
        } else if (!is_plain(c) && (c == 0 || strchr(" /%()@$", c) == NULL)) {
            return false;
        }
    }
    return ascii || utf8_valid(name);
}
