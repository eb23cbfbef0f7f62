#include "fake/same.h"

#include <time.h>

#define ERR_STATE openssl_err_state
#include <openssl/rand.h>
#undef ERR_STATE

#include "fuzz.h"

static uint64_t state;
static int64_t (*clock_s)(void);

time_t time(time_t *ret_now);
time_t time(time_t *ret_now)
{
    time_t now = clock_s == NULL ? 1790000000 : clock_s();
    if (ret_now != NULL) {
        *ret_now = now;
    }
    return now;
}

static int random_bytes(unsigned char *bytes, int len)
{
    for (int i = 0; i < len; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (unsigned char)(state >> 56);
    }
    return 1;
}

static int random_status(void)
{
    return 1;
}

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"
void same_random(uint64_t seed)
{
    static const RAND_METHOD method = {
        .bytes = random_bytes, .pseudorand = random_bytes, .status = random_status};
    state = seed;
    CHECK(RAND_get_rand_method() == &method || RAND_set_rand_method(&method) == 1);
}
#pragma clang diagnostic pop

void same_time(int64_t (*seconds)(void))
{
    clock_s = seconds;
}
