#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/cli.h"
#include "base/check.h"

int cli_fail(const struct cli_call *c, int code, const char *format, ...)
{
    const char *verb = c->command == NULL || c->command->name == NULL ? NULL : c->command->name;
    (void)fprintf(stderr, "signalbox %s%s%s: ", c->group, verb == NULL ? "" : " ",
                  verb == NULL ? "" : verb);
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    return code;
}

void cli_note(const char *format, ...)
{
    va_list args;
    (void)fflush(stdout); /* in the order in which it was said */
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
}

int cli_exit_of(enum err e)
{
    if (e == ERR_OK) {
        return CLI_OK;
    }
    return e == ERR_DB_DOWN || e == ERR_TIMEOUT ? CLI_UNREACHABLE : CLI_FAILED;
}

const char *cli_config_file(const struct cli_call *c)
{
    static const char *const places[] = {"signalbox.yaml", "var/signalbox.yaml",
                                         "/etc/signalbox/signalbox.yaml"};
    const char *given = cli_value(c, "config");
    const char *env = getenv("SIGNALBOX_CONFIG");
    if (given != NULL) {
        return given;
    }
    if (env != NULL && env[0] != '\0') {
        return env;
    }
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        if (access(places[i], F_OK) == 0) {
            return places[i];
        }
    }
    return NULL;
}

int cli_load_conf(const struct cli_call *c, struct conf **ret_conf)
{
    struct conf_error why = {0};
    if (conf_load(cli_config_file(c), ret_conf, &why) == ERR_OK) {
        return CLI_OK;
    }
    if (why.line > 0) { /* the form that editors jump to */
        (void)fprintf(stderr, "%s:%d:%d: %s\n", why.file, why.line, why.column, why.detail);
    } else {
        (void)fprintf(stderr, "%s: %s\n", why.file, why.detail);
    }
    return CLI_FAILED;
}

int cli_open_db(const struct cli_call *c, struct conf **ret_conf, struct db **ret_db)
{
    struct conf *conf = NULL;
    int code = cli_load_conf(c, &conf);
    if (code != CLI_OK) {
        return code;
    }
    enum err e = db_open(conf->database_url, "signalbox-cli", ret_db);
    if (e != ERR_OK) {
        const char *file = cli_config_file(c);
        code = cli_fail(
            c, cli_exit_of(e),
            "the database is not available (database_url of %s); `signalbox doctor` tells more",
            file == NULL ? "the environment" : file);
        conf_free(conf);
        return code;
    }
    *ret_conf = conf;
    return CLI_OK;
}

char *cli_read_file(const struct cli_call *c, const char *path, size_t limit_bytes, size_t *ret_len)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct buf out;
    buf_init(&out, limit_bytes + 1);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0) {
        uint8_t *room = buf_room(&out, 65536);
        size_t want = 65536;
        if (room == NULL) { /* near the limit: byte by byte is enough to see that it is over */
            out.err = ERR_OK;
            want = 1;
            room = buf_room(&out, 1);
        }
        if (room == NULL) {
            break;
        }
        n = read(fd, room, want);
        if (n > 0) {
            buf_grew(&out, (size_t)n);
        } else if (n < 0 && errno == EINTR) {
            n = 1;
        }
    }
    int saved = errno;
    if (fd > STDIN_FILENO) {
        (void)close(fd);
    }
    if (n != 0) {
        (void)cli_fail(c, CLI_FAILED, "%s: %s", path, n < 0 ? strerrordesc_np(saved) : "too large");
        buf_fini(&out);
        return NULL;
    }
    *ret_len = out.len;
    out.err = ERR_OK;
    return buf_take_str(&out);
}

enum err cli_write_new(const char *path, const char *text, unsigned mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
    if (fd < 0) {
        return errno == EEXIST || errno == ELOOP ? ERR_EXISTS : ERR_IO;
    }
    size_t len = strlen(text);
    size_t done = 0;
    bool good = fchmod(fd, (mode_t)mode) == 0;
    while (good && done < len) {
        ssize_t n = write(fd, text + done, len - done);
        good = n > 0 || (n < 0 && errno == EINTR);
        done += n > 0 ? (size_t)n : 0;
    }
    good = good && fsync(fd) == 0;
    int saved = errno;
    good = close(fd) == 0 && good;
    if (!good) {
        (void)unlink(path);
        errno = saved;
        return ERR_IO;
    }
    return ERR_OK;
}
