#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/commands.h"
#include "app/wire.h"
#include "base/log.h"
#include "fleet/fleet.h"
#include "net/net.h"

/*
 * `signalbox serve`: reads the settings, starts the server, waits for signals.
 *   SIGTERM, SIGINT  stop in order; a second one ends at once
 *   SIGHUP           certificates and the alert log's file again
 */
/* The supervisor's notification socket; see sd_notify(3). */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (path == NULL || path[0] == '\0' || strlen(path) >= sizeof(to.sun_path)) {
        return;
    }
    memcpy(to.sun_path, path, strlen(path));
    if (to.sun_path[0] == '@') {
        to.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
                     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
        (void)close(fd);
    }
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum log_format log_format_of(const char *word)
{
    return strcmp(word, "json") == 0     ? LOG_FORMAT_JSON
           : strcmp(word, "logfmt") == 0 ? LOG_FORMAT_LOGFMT
                                         : LOG_FORMAT_AUTO;
}

static int serve(const struct conf *conf)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    /* Before any thread exists, so that only this one gets them. */
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    struct server *server = NULL;
    if (server_start(conf, &server) != ERR_OK) {
        return 1;
    }
    LOG(LOG_INFO, "ready", LOG_S("version", SIGNALBOX_VERSION),
        LOG_I("device_port", server_device_port(server)),
        LOG_I("http_port", server_http_port(server)));
    notify("READY=1");
    int got = 0;
    while (sigwait(&signals, &got) == 0 && got == SIGHUP) {
        server_reload(server);
    }
    LOG(LOG_INFO, "stopping", LOG_S("signal", got == SIGINT ? "SIGINT" : "SIGTERM"));
    notify("STOPPING=1");
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    (void)pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    bool gave_up = server_gave_up(server);
    server_stop(server);
    LOG(LOG_INFO, "stopped", LOG_I("gave_up", gave_up));
    return gave_up ? 1 : 0;
}

static int serve_call(const struct cli_call *c)
{
    struct conf *conf = NULL;
    struct conf_error error;
    if (conf_load(cli_value(c, "config"), &conf, &error) != ERR_OK) {
        (void)fprintf(stderr, "%s:%d:%d: %s\n", error.file, error.line, error.column, error.detail);
        return CLI_FAILED;
    }
    enum log_level level = LOG_INFO;
    (void)log_level_parse(view_str(conf->log_level), &level);
    log_setup(level, log_format_of(conf->log_format));
    net_use_blocks();
    int code = serve(conf);
    conf_free(conf);
    return code;
}

int app_serve(int argc, char **argv)
{
    static const struct cli_option options[] = {
        {"config", 'c', "FILE", "settings file (SIGNALBOX_CONFIG; else defaults and environment)"},
        {0}};
    static const struct cli_command commands[] = {
        {.arguments = "",
         .words = "Runs the server until SIGTERM. SIGHUP reads certificates and revocation lists "
                  "again and reopens the alert log.\n"
                  "Every setting is also an environment variable SIGNALBOX_…; see `signalbox "
                  "check-config --sample`.",
         .examples = "  signalbox serve --config /etc/signalbox/signalbox.yaml\n",
         .options = options,
         .run = serve_call},
        {0}};
    return cli_run("serve", "", commands, argc, argv);
}

int app_fleet(int argc, char **argv)
{
    return fleet_main(argc, argv);
}
