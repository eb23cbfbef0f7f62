#include "session/private.h"

uint32_t sessions_loop_count(const struct sessions *all)
{
    return net_loop_count(all->net);
}

struct loop *sessions_loop(const struct sessions *all, uint32_t loop)
{
    return net_loop(all->net, loop);
}
