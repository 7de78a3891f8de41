/* A camera for one process: see __init__.py. Its settings are in the environment:
 *
 * VIGIE_V4L2_PICTURES  after so many pictures the next one does not come
 * VIGIE_V4L2_GATE      a named pipe: the next one comes when it is opened for writing
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NODE "/dev/video77"
#define MAX_FILES 1024
#define MAX_BUFFERS 32
#define BUFFER_BYTES (1u << 20)
#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

static int is_node[MAX_FILES];
static int width, height, picture_count, is_streaming;
static int queued[MAX_BUFFERS], queued_count;

static int open_node(void) {
    int fd = memfd_create("camera", MFD_CLOEXEC);
    if (fd < 0 || fd >= MAX_FILES || ftruncate(fd, MAX_BUFFERS * BUFFER_BYTES)) abort();
    is_node[fd] = 1;
    return fd;
}

static int refuse(int number) {
    errno = number;
    return -1;
}

static void wait_for_gate(void) {
    int gate = REAL(open64)(getenv("VIGIE_V4L2_GATE"), O_RDONLY);
    if (gate < 0) abort();
    REAL(close)(gate);
}

static int fill_format(struct v4l2_format *format) {
    format->fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
    format->fmt.pix.field = V4L2_FIELD_NONE;
    format->fmt.pix.width = width;
    format->fmt.pix.height = height;
    format->fmt.pix.bytesperline = width * 2;
    format->fmt.pix.sizeimage = width * height * 2;
    return 0;
}

static int command(unsigned int number, void *argument) {
    struct v4l2_buffer *buffer = argument;
    struct v4l2_capability *capability = argument;
    struct v4l2_format *format = argument;
    struct v4l2_requestbuffers *request = argument;
    struct v4l2_streamparm *parameters = argument;
    switch (number) {
    case VIDIOC_QUERYCAP:
        capability->capabilities = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    case VIDIOC_S_FMT:
        if (is_streaming) return refuse(EBUSY);
        width = format->fmt.pix.width;
        height = format->fmt.pix.height;
        return fill_format(format);
    case VIDIOC_G_FMT:
        return fill_format(format);
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
        parameters->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        parameters->parm.capture.timeperframe = (struct v4l2_fract){1, 10};
        return 0;
    case VIDIOC_REQBUFS:
        if (request->count > MAX_BUFFERS) request->count = MAX_BUFFERS;
        queued_count = 0;
        return 0;
    case VIDIOC_QUERYBUF:
        buffer->length = BUFFER_BYTES;
        buffer->m.offset = buffer->index * BUFFER_BYTES;
        return 0;
    case VIDIOC_QBUF:
        queued[queued_count++] = buffer->index;
        return 0;
    case VIDIOC_DQBUF:
        if (!queued_count) return refuse(EAGAIN);
        if (picture_count++ == atoi(getenv("VIGIE_V4L2_PICTURES"))) wait_for_gate();
        buffer->index = queued[0];
        buffer->bytesused = width * height * 2;
        buffer->timestamp = (struct timeval){picture_count / 10, picture_count % 10 * 100000};
        memmove(queued, queued + 1, sizeof(int) * --queued_count);
        return 0;
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        is_streaming = number == VIDIOC_STREAMON;
        return 0;
    case VIDIOC_G_INPUT:
    case VIDIOC_S_INPUT:
    case VIDIOC_ENUMINPUT:
        return 0;
    default:
        return refuse(EINVAL);
    }
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return strcmp(path, NODE) ? REAL(open64)(path, flags, mode) : open_node();
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return strcmp(path, NODE) ? REAL(open)(path, flags, mode) : open_node();
}

int close(int fd) {
    if (fd >= 0 && fd < MAX_FILES) is_node[fd] = 0;
    return REAL(close)(fd);
}

int ioctl(int fd, unsigned long number, ...) {
    va_list rest;
    va_start(rest, number);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (fd < 0 || fd >= MAX_FILES || !is_node[fd]) return REAL(ioctl)(fd, number, argument);
    return command((unsigned int)number, argument);
}
