/* A stateful V4L2 decoder for one process: see __init__.py. Its settings are in the environment:
 *
 * VIGIE_V4L2_PICTURES  a file of 4:2:0 pictures of the stream's size, without gaps, one for each packet
 * VIGIE_V4L2_COMMANDS  a file that each ioctl(2) to it is appended to, in hexadecimal
 * VIGIE_V4L2_STALL     after so many packets none comes back, and no picture
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NODE "/dev/video10"
#define MEMORY_BYTES (256u << 20)
#define PACKET_BYTES (1u << 20)
#define MAX_BUFFERS 20
#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

enum state { OF_USER, QUEUED, DONE };
struct queue {
    int count, done[MAX_BUFFERS], done_count;
    size_t offset[MAX_BUFFERS], length;
    enum state state[MAX_BUFFERS];
    struct timeval time[MAX_BUFFERS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct queue packets, pictures;
static ino_t inode;
static uint8_t *memory;
static size_t used_bytes;
static int width, height, packet_count;
static struct timeval waiting[1024]; /* of the packets whose picture has no buffer yet */
static int waiting_count, picture_number;
static DIR *listed;
static int is_named;

static int aligned(int value, int to) { return (value + to - 1) / to * to; }
static int stride(void) { return aligned(width, 32); }
static int rows(void) { return aligned(height, 16); }
static struct queue *queue_of(int type) { return type == V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE ? &packets : &pictures; }

static int open_node(void) {
    int fd = memfd_create("decoder", MFD_CLOEXEC);
    struct stat status;
    if (ftruncate(fd, MEMORY_BYTES) || fstat(fd, &status)) abort();
    inode = status.st_ino;
    memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    used_bytes = 0;
    return fd;
}

static int is_node(int fd) {
    struct stat status;
    return inode && !fstat(fd, &status) && status.st_ino == inode;
}

static void finish(struct queue *queue, int index) {
    queue->state[index] = DONE;
    queue->done[queue->done_count++] = index;
}

static void copy_plane(uint8_t *to, int line, FILE *from, int plane_width, int plane_height) {
    for (int row = 0; row < plane_height; row++)
        if (fread(to + (size_t)row * line, 1, plane_width, from) != (size_t)plane_width) abort();
}

static void give_pictures(void) {
    static FILE *file;
    if (!file) file = fopen(getenv("VIGIE_V4L2_PICTURES"), "rb");
    for (int index = 0; index < pictures.count && waiting_count; index++) {
        if (pictures.state[index] != QUEUED) continue;
        uint8_t *to = memory + pictures.offset[index];
        memset(to, 0, pictures.length);
        size_t luma_bytes = (size_t)stride() * rows();
        fseek(file, (long)picture_number++ * width * height * 3 / 2, SEEK_SET);
        copy_plane(to, stride(), file, width, height);
        copy_plane(to + luma_bytes, stride() / 2, file, width / 2, height / 2);
        copy_plane(to + luma_bytes * 5 / 4, stride() / 2, file, width / 2, height / 2);
        pictures.time[index] = waiting[0];
        memmove(waiting, waiting + 1, sizeof(waiting[0]) * --waiting_count);
        finish(&pictures, index);
    }
}

static int has_parameter_sets(const uint8_t *data, size_t size) {
    for (size_t at = 0; at + 4 <= size; at++)
        if (!memcmp(data + at, "\0\0\1", 3) && (data[at + 3] & 31) == 7) return 1;
    return 0;
}

static void take_packet(const struct v4l2_buffer *buffer) {
    const char *stall = getenv("VIGIE_V4L2_STALL");
    packets.state[buffer->index] = QUEUED;
    packet_count++;
    const uint8_t *data = memory + packets.offset[buffer->index];
    if (packet_count == 1 && !has_parameter_sets(data, buffer->m.planes[0].bytesused)) abort();
    if (stall && packet_count > atoi(stall)) return;
    waiting[waiting_count++] = buffer->timestamp;
    finish(&packets, buffer->index);
}

static void fill_format(struct v4l2_format *format) {
    struct v4l2_pix_format_mplane *plane = &format->fmt.pix_mp;
    int is_packet = format->type == V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE;
    plane->pixelformat = is_packet ? V4L2_PIX_FMT_H264 : V4L2_PIX_FMT_YUV420;
    plane->width = width;
    plane->height = is_packet ? height : rows();
    plane->num_planes = 1;
    plane->plane_fmt[0].bytesperline = is_packet ? 0 : stride();
    plane->plane_fmt[0].sizeimage = is_packet ? PACKET_BYTES : stride() * rows() * 3 / 2;
}

static int request_buffers(struct v4l2_requestbuffers *request) {
    struct queue *queue = queue_of(request->type);
    struct v4l2_format format = {.type = request->type};
    fill_format(&format);
    if (request->count > MAX_BUFFERS) request->count = MAX_BUFFERS;
    memset(queue, 0, sizeof(*queue));
    queue->count = request->count;
    queue->length = aligned(format.fmt.pix_mp.plane_fmt[0].sizeimage, 4096);
    for (int index = 0; index < queue->count; index++, used_bytes += queue->length)
        queue->offset[index] = used_bytes;
    return 0;
}

static int refuse(int number) {
    errno = number;
    return -1;
}

static int command(unsigned int number, void *argument) {
    struct v4l2_buffer *buffer = argument;
    struct v4l2_fmtdesc *description = argument;
    struct v4l2_capability *capability = argument;
    struct v4l2_format *format = argument;
    struct queue *queue;
    switch (number) {
    case VIDIOC_QUERYCAP:
        capability->capabilities = V4L2_CAP_VIDEO_M2M_MPLANE | V4L2_CAP_STREAMING;
        return 0;
    case VIDIOC_ENUM_FMT:
        if (description->index) return refuse(EINVAL);
        description->pixelformat = queue_of(description->type) == &packets ? V4L2_PIX_FMT_H264 : V4L2_PIX_FMT_YUV420;
        return 0;
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT:
        if (queue_of(format->type) == &packets) {
            width = format->fmt.pix_mp.width;
            height = format->fmt.pix_mp.height;
        }
        /* fall through */
    case VIDIOC_G_FMT:
        fill_format(format);
        return 0;
    case VIDIOC_REQBUFS:
        return request_buffers(argument);
    case VIDIOC_QUERYBUF:
        queue = queue_of(buffer->type);
        buffer->length = 1;
        buffer->m.planes[0].length = queue->length;
        buffer->m.planes[0].m.mem_offset = queue->offset[buffer->index];
        return 0;
    case VIDIOC_QBUF:
        if (queue_of(buffer->type) == &packets) take_packet(buffer);
        else pictures.state[buffer->index] = QUEUED;
        give_pictures();
        return 0;
    case VIDIOC_DQBUF:
        queue = queue_of(buffer->type);
        if (!queue->done_count) return refuse(EAGAIN);
        buffer->index = queue->done[0];
        buffer->length = 1;
        buffer->timestamp = queue->time[buffer->index];
        buffer->m.planes[0].bytesused = queue->length;
        memmove(queue->done, queue->done + 1, sizeof(int) * --queue->done_count);
        queue->state[buffer->index] = OF_USER;
        return 0;
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
    case VIDIOC_SUBSCRIBE_EVENT:
    case VIDIOC_DECODER_CMD:
        return 0;
    default:
        return refuse(EINVAL); /* as bcm2835-codec for the selection of an area */
    }
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return strcmp(path, NODE) ? REAL(open64)(path, flags, mode) : open_node();
}

DIR *opendir(const char *path) {
    DIR *folder = REAL(opendir)(path);
    if (!strcmp(path, "/dev")) listed = folder, is_named = 0;
    return folder;
}

struct dirent64 *readdir64(DIR *folder) {
    static struct dirent64 node = {.d_name = "video10"};
    struct dirent64 *entry = REAL(readdir64)(folder);
    if (entry || folder != listed || is_named) return entry;
    is_named = 1;
    return &node;
}

int ioctl(int fd, unsigned long number, ...) {
    va_list rest;
    va_start(rest, number);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (!is_node(fd)) return REAL(ioctl)(fd, number, argument);
    pthread_mutex_lock(&lock);
    FILE *log = fopen(getenv("VIGIE_V4L2_COMMANDS"), "a");
    fprintf(log, "%x\n", (unsigned int)number);
    fclose(log);
    int result = command(number, argument);
    pthread_mutex_unlock(&lock);
    return result;
}

int poll(struct pollfd *polled, nfds_t count, int timeout_ms) {
    if (count != 1 || !is_node(polled->fd)) return REAL(poll)(polled, count, timeout_ms);
    for (;;) {
        pthread_mutex_lock(&lock);
        int events = (packets.done_count ? POLLOUT | POLLWRNORM : 0) | (pictures.done_count ? POLLIN | POLLRDNORM : 0);
        pthread_mutex_unlock(&lock);
        polled->revents = events & polled->events;
        if (polled->revents || timeout_ms == 0) return polled->revents != 0;
        usleep(1000);
    }
}
