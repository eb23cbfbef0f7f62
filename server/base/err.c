#include "base/err.h"

const char *err_words(enum err e)
{
    switch (e) {
#define ERR_WORDS(name, value, words) \
    case name:                        \
        return words;
        ERR_LIST(ERR_WORDS)
#undef ERR_WORDS
    }
    return "unknown error";
}
