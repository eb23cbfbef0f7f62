/*
 * system_certificates CA.pem CA.key DIR PREFIX COUNT: device certificates in bulk,
 * DIR/<PREFIX><0000…>.pem, each with its key, as `signalbox ca issue` would make them one by one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "auth/auth.h"

int main(int argc, char **argv)
{
    int count = argc == 6 ? (int)strtol(argv[5], NULL, 10) : 0;
    if (count <= 0) {
        (void)fprintf(stderr, "system_certificates CA.pem CA.key DIR PREFIX COUNT\n");
        return 2;
    }
    for (int i = 0; i < count; i++) {
        char name[128];
        char path[512];
        struct auth_issued issued;
        (void)snprintf(name, sizeof(name), "%s%04d", argv[4], i);
        (void)snprintf(path, sizeof(path), "%s/%s.pem", argv[3], name);
        if (auth_ca_issue(argv[1], argv[2], name, AUTH_USAGE_CLIENT, NULL, 30, &issued) != ERR_OK) {
            (void)fprintf(stderr, "%s: cannot be issued\n", name);
            return 1;
        }
        FILE *f = fopen(path, "we");
        bool written =
            f != NULL && fputs(issued.certificate, f) >= 0 && fputs(issued.private_key, f) >= 0;
        written = f != NULL && fclose(f) == 0 && written;
        auth_issued_fini(&issued);
        if (!written) {
            perror(path);
            return 1;
        }
    }
    return 0;
}
