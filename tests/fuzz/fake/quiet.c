/*
 * quiet: the log of a fuzz program goes nowhere, but what it would have written is read.
 */
#include "base/log.h"
#include "fuzz.h"

void __wrap_log_write(enum log_level level, const char *event, const struct log_field *fields,
                      size_t count);
void __wrap_log_write(enum log_level level, const char *event, const struct log_field *fields,
                      size_t count)
{
    (void)level;
    size_t bytes = strlen(event);
    for (size_t i = 0; i < count; i++) {
        size_t len = fields[i].kind == LOG_KIND_STR
                         ? strlen(fields[i].str == NULL ? "" : fields[i].str)
                     : fields[i].kind == LOG_KIND_VIEW ? fields[i].view.len
                                                       : 0;
        bytes += len;
        if (fields[i].kind == LOG_KIND_VIEW && len > 0) {
            bytes += fields[i].view.data[0] + fields[i].view.data[len - 1];
        }
    }
    CHECK(bytes > 0);
}
