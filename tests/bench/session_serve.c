/*
 * session_serve: the session module on its own, for trying real clients against it. Every message
 * is acknowledged and thrown away.
 *
 *     bench_session_serve [seconds] [loops] [deferred]
 *
 * prints the ports, the CA's file and a device certificate; the token of device d7 is token-d7.
 */
#include "../stress/session_server.h"

int main(int argc, char **argv)
{
    static struct server s;
    int seconds = 60;
    char path[128];
    server_init(&s);
    log_setup(LOG_INFO, LOG_FORMAT_LOGFMT);
    if (argc > 1) {
        CHECK(sscanf(argv[1], "%d", &seconds) == 1);
    }
    if (argc > 2) {
        int loops = 1;
        CHECK(sscanf(argv[2], "%d", &loops) == 1);
        s.conf.net_loops = loops;
    }
    s.deferred = argc > 3;
    (void)snprintf(s.open_listen, sizeof(s.open_listen), "127.0.0.1:0");
    s.conf.open_listener = s.open_listen;
    certs_client(&s.certs, "d7");
    server_start(&s);
    (void)printf("port %d\nopen %d\nca %s\n", sessions_port(s.sessions),
                 sessions_open_port(s.sessions), s.ca);
    (void)printf("cert %s\n", certs_path(&s.certs, "d7", ".pem", path));
    (void)printf("key %s\n", certs_path(&s.certs, "d7", ".key", path));
    (void)fflush(stdout);
    for (int i = 0; i < seconds * 10; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    (void)printf("published %lld\n", atomic_load(&s.published));
    server_stop(&s);
    return 0;
}
