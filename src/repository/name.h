/* Name: binary names of files and objects, and their text in paths and messages. */
#ifndef REPOSITORY_NAME_H
#define REPOSITORY_NAME_H

#include "base/id.h"
#include "repository/format.h"

#include <stddef.h>

enum { name_text_size = 2 * FORMAT_NAME_SIZE + 1, name_path_size = 64 };

/* Lower-case digits and a NUL. */
void name_format_hex(const uint8_t *bytes, size_t size, char *text);
/* Exactly `size` bytes in lower-case digits, `length` characters; -1 otherwise. */
int name_parse_hex(const char *text, size_t length, uint8_t *bytes, size_t size);

/* 128 random bits. */
struct file_name name_new(void);
/* "packs/ab/abcd...", "index/abcd...", "backups/<uuid>". */
void name_pack_path(const struct file_name *name, char path[name_path_size]);
void name_index_path(const struct file_name *name, char path[name_path_size]);
void name_backup_path(const struct file_name *name, char path[name_path_size]);
/* The reverse, for a listed path; -1 when the path is not such a name. */
int name_parse_pack_path(const char *path, struct file_name *ret_name);
int name_parse_index_path(const char *path, struct file_name *ret_name);
int name_parse_backup_path(const char *path, struct file_name *ret_name);

/* A UUID's 16 bytes and back. -1 when the text is none. */
int name_from_id(const struct id *id, struct file_name *ret_name);
struct id name_to_id(const struct file_name *name);

#endif
