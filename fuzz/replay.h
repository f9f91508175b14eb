/* Without libFuzzer a target is a replayer of regression inputs: files, or all files of a directory, given as
 * arguments. */
#ifndef FUZZ_REPLAY_H
#define FUZZ_REPLAY_H

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifndef KELVIN_LIBFUZZER
static int replay_file(const char *path)
{
    static uint8_t bytes[1 << 20];
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return -1;
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    printf("# %s\n", path); /* the last one named is the one that crashed */
    fflush(stdout);
    /* A copy of exactly that size: a sanitizer sees a read behind it. */
    uint8_t *copy = malloc(n ? n : 1);
    for (size_t i = 0; i < n; i++)
        copy[i] = bytes[i];
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
    return 0;
}

int main(int argc, char **argv)
{
    int ran = 0;
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (d == NULL) {
            ran += replay_file(argv[i]) == 0;
            continue;
        }
        for (struct dirent *e; (e = readdir(d)) != NULL;) {
            char path[4096];
            snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
            if (e->d_name[0] != '.')
                ran += replay_file(path) == 0;
        }
        closedir(d);
    }
    printf("%sok 1 - replayed %d inputs\n1..1\n", ran > 0 ? "" : "not ", ran);
    return ran == 0;
}
#endif

#endif
