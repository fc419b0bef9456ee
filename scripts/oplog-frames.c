// Opens oplog frames whose checksum is right but whose lengths or payload lie, under the address sanitizer: what a peer
// that means harm could send. Run by scripts/check-storage.
#include "../CSupport/COplog/COplog.c"

#include <stdio.h>
#include <stdlib.h>

static uint64_t state = 1;

static uint32_t next_random(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

int main(void) {
    int opened = 0, refused = 0;
    for (int round = 0; round < 100000; round++) {
        size_t length = next_random() % 3000, written = 0;
        uint8_t content[3000], frame[5000];
        for (size_t i = 0; i < length; i++) content[i] = (uint8_t)(next_random() % (round % 2 ? 3 : 256));
        if (coplog_seal(content, length, 7, round % 4 != 0, frame, sizeof frame, &written) != COPLOG_OK) return 1;
        // Each frame on the heap in exactly its length, so that any read or write beside it is seen.
        size_t cut = next_random() % 8 == 0 ? next_random() % (written + 1) : written;
        uint8_t *forged = malloc(cut + 1);
        memcpy(forged, frame, cut);
        for (uint32_t changes = next_random() % 4; changes > 0 && cut > COPLOG_HEADER_BYTES; changes--)
            forged[COPLOG_HEADER_BYTES + next_random() % (cut - COPLOG_HEADER_BYTES)] = (uint8_t)next_random();
        if (cut >= COPLOG_HEADER_BYTES) {
            if (next_random() % 4 == 0) put32(forged + 8, (uint32_t)length + next_random() % 9 - 4);
            if (next_random() % 8 == 0) put32(forged + 8, next_random() * 2);
            if (next_random() % 4 == 0) put32(forged + 12, (uint32_t)(cut - COPLOG_HEADER_BYTES));
            put64(forged + CHECKSUM_OFFSET, checksum(forged, cut - COPLOG_HEADER_BYTES));
        }
        uint8_t *exact = realloc(forged, cut > 0 ? cut : 1);
        coplog_info info;
        if (coplog_verify(exact, cut, &info) == COPLOG_OK) {
            uint8_t *output = malloc(info.content_length > 0 ? info.content_length : 1);
            if (coplog_open(exact, cut, output, info.content_length) == COPLOG_OK) opened++;
            else refused++;
            free(output);
        } else {
            refused++;
        }
        free(exact);
    }
    printf("%d forged frames were opened, %d refused, none beside its memory\n", opened, refused);
    return opened > 1000 && refused > 1000 ? 0 : 1;
}
