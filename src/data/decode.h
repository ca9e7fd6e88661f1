// data/decode.h: private to data/: one row and one file a picture format.
#pragma once

#include "data/resize.h"

enum { MAX_SIDE = 65500, MAX_SCANS = 100 };
enum { MAX_FILE = 1 << 28 };       // bytes
enum { MAX_PIXELS = 178956970 }; // Pillow's limit for a decompression bomb
enum { MAX_PIXELS_WHOLE = 1 << 26 };
enum { MAX_SECONDS = 20 };         // of processor time a picture

// How one picture is to be decoded.
struct decode_job {
    bool icc;      // colours by the embedded profile, to sRGB
    // Of the whole upright picture of w x h, how many pixels will be used: a decoder that can may stop at that size.
    // NULL: all of them.
    void (*wanted)(void *user, int w, int h, double *across, double *down);
    // Where no more is made of the picture than one resize: gets the picture as it will be (all but rgb), makes what
    // its rows may go to one by one, so that rgb stays NULL.  A decoder may do without.  NULL: the whole picture is
    // wanted.
    graft_status (*stream)(void *user, const struct picture *size, struct resizer **out);
    void *user;
    double until;  // thread_seconds() when the time is over; set by picture_decode_as
};
graft_status picture_decode_as(bytes data, const char *name, const struct decode_job *job, struct picture *out);
double thread_seconds(void); // processor time of this thread
graft_status decode_expired(const char *name); // the message for it

struct decoder {
    const char *name;
    bool (*recognises)(bytes data);
    // Decodes to RGB, oriented; `name` is for messages.
    graft_status (*decode)(bytes data, const char *name, const struct decode_job *job, struct picture *out);
};
bool jpeg_recognises(bytes data);
graft_status jpeg_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out);
bool png_recognises(bytes data);
graft_status png_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out);
bool webp_recognises(bytes data);
graft_status webp_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out);
bool gif_recognises(bytes data);
graft_status gif_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out);
bool bmp_recognises(bytes data);
graft_status bmp_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out);
bool tiff_recognises(bytes data);
graft_status tiff_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out);
bool heif_recognises(bytes data);
graft_status heif_decode(bytes data, const char *name, const struct decode_job *job, struct picture *out);

graft_status size_check(int w, int h, const char *name); // against the limits
// Of what is decoded whole in memory and takes several times what the picture does: "a progressive JPEG".
graft_status size_check_whole(int w, int h, const char *name, const char *what);
// Checks the limits first; keeps the traits that `out` has.
graft_status picture_new(int w, int h, const char *name, struct picture *out);
graft_status picture_orient(struct picture *p, int orientation);               // EXIF 1..8
int exif_orientation(bytes tiff);                                              // 1 when it says nothing sound
