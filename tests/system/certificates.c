/*
 * system_certificates CA.pem CA.key DIR PREFIX COUNT: device certificates in bulk,
 * DIR/<PREFIX><0000…>.pem, each with its key, as `signalbox ca issue` would make them one by one.
 */
#include <stdio.h>

#include "auth/auth.h"
#include "fleet/options.h"

static bool issue(char **argv, unsigned number)
{
    char name[128];
    char path[512];
    struct auth_issued issued;
    (void)snprintf(name, sizeof(name), "%s%04u", argv[4], number);
    (void)snprintf(path, sizeof(path), "%s/%s.pem", argv[3], name);
    if (auth_ca_issue(argv[1], argv[2], name, AUTH_USAGE_CLIENT, NULL, 30, &issued) != ERR_OK) {
        (void)fprintf(stderr, "%s: cannot be issued\n", name);
        return false;
    }
    FILE *f = fopen(path, "we");
    bool written =
        f != NULL && fputs(issued.certificate, f) >= 0 && fputs(issued.private_key, f) >= 0;
    written = f != NULL && fclose(f) == 0 && written;
    auth_issued_fini(&issued);
    if (!written) {
        perror(path);
    }
    return written;
}

int main(int argc, char **argv)
{
    uint64_t count = 0;
    if (argc != 6 || !fleet_read_count("COUNT", argv[5], 1, 100000, &count)) {
        (void)fprintf(stderr, "system_certificates CA.pem CA.key DIR PREFIX COUNT\n");
        return FLEET_USAGE;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!issue(argv, i)) {
            return FLEET_FAILED;
        }
    }
    return FLEET_DONE;
}
