/* ACE-Step in plain C: asks the daemon for a clip by OSC, shows progress, and prints the clip's path.
 *   cc -o ask ask.c && ./ask "dusty boom bap drums" 92.5 4        prompt, tempo, bars; the daemon: acestep serve
 * POSIX sockets only, so it also shows all that a program of your own needs of OSC. */
#define _POSIX_C_SOURCE 200112L
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PACKET 8192
#define SILENCE_S 300 /* a first clip may have to load the model */

typedef struct {
    char bytes[PACKET];
    size_t size;
} Message;

/* OSC texts end with a zero and fill up to four bytes. */
static void add_text(Message* message, const char* text) {
    size_t length = strlen(text), padded = (length / 4 + 1) * 4;
    if (message->size + padded > PACKET) {
        fprintf(stderr, "ask: the prompt is too long for a message\n");
        exit(2);
    }
    memset(message->bytes + message->size, 0, padded);
    memcpy(message->bytes + message->size, text, length);
    message->size += padded;
}

/* Numbers go with their first byte first. */
static void add_float(Message* message, float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    bits = htonl(bits);
    memcpy(message->bytes + message->size, &bits, 4);
    message->size += 4;
}

/* The text at *at, and *at moved behind it; NULL where the message ends too early. */
static const char* read_text(const Message* message, size_t* at) {
    const char* text = message->bytes + *at;
    const char* end = *at < message->size ? memchr(text, 0, message->size - *at) : NULL;
    if (!end) return NULL;
    *at += ((size_t)(end - text) / 4 + 1) * 4;
    return text;
}

static float read_float(const Message* message, size_t* at) {
    uint32_t bits = 0;
    float value;
    if (*at + 4 <= message->size) memcpy(&bits, message->bytes + *at, 4);
    *at += 4;
    bits = ntohl(bits);
    memcpy(&value, &bits, 4);
    return value;
}

/* Handles one answer; 1 when the job is done, 2 when it failed. */
static int answer(const Message* message) {
    size_t at = 0;
    const char *address = read_text(message, &at), *tags = read_text(message, &at);
    const char *first = tags ? read_text(message, &at) : NULL, *second;
    if (!first) return 0;
    if (!strcmp(address, "/acestep/progress") && (second = read_text(message, &at))) {
        int done = (int)(read_float(message, &at) * 40);
        fprintf(stderr, "\r%-8s [%-40.*s]", second, done, "########################################");
    } else if (!strcmp(address, "/acestep/clip") && (second = read_text(message, &at))) {
        fprintf(stderr, "\n");
        puts(second);
    } else if (!strcmp(address, "/acestep/error") && (second = read_text(message, &at))) {
        fprintf(stderr, "ask: %s\n", second);
        return 2;
    } else if (!strcmp(address, "/acestep/done")) return 1;
    return 0;
}

int main(int count, char** words) {
    const char* told = getenv("ACESTEP_OSC_PORT");
    struct sockaddr_in daemon = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(told ? atoi(told) : 9127))};
    struct timeval silence = {.tv_sec = SILENCE_S};
    int udp = socket(AF_INET, SOCK_DGRAM, 0), state = 0;
    Message message = {.size = 0};
    daemon.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* connected: answers of nobody else come in, and a daemon that is not there is told at once */
    if (udp < 0 || connect(udp, (struct sockaddr*)&daemon, sizeof daemon) ||
        setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence)) {
        perror("ask");
        return 1;
    }
    add_text(&message, "/acestep/generate");
    add_text(&message, ",ssfsf");
    add_text(&message, count > 1 ? words[1] : "dusty boom bap drums");
    add_text(&message, "tempo");
    add_float(&message, count > 2 ? (float)atof(words[2]) : 92.5f);
    add_text(&message, "bars");
    add_float(&message, count > 3 ? (float)atof(words[3]) : 4.0f);
    send(udp, message.bytes, message.size, 0);
    while (!state) {
        ssize_t size = recv(udp, message.bytes, PACKET, 0);
        if (size < 0) {
            fprintf(stderr, "ask: no daemon answers on port %d: start it with `acestep serve`\n", ntohs(daemon.sin_port));
            return 1;
        }
        message.size = (size_t)size;
        state = answer(&message);
    }
    close(udp);
    return state == 1 ? 0 : 1;
}
