#include "base/check.h"

#include <stdlib.h>

#include "base/log.h"

void check_failed(const char *file, int line, const char *cond)
{
    LOG(LOG_ERROR, "check_failed", LOG_S("file", file), LOG_I("line", line),
        LOG_S("condition", cond));
    abort();
}
