/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "trace_manifest.h"
#include "trace_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_VERSION 1
#define MANIFEST_MAX     (64 << 20)

static __attribute__((format(printf, 2, 3))) int fail(char **error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(error, fmt, ap) < 0)
		*error = NULL;
	va_end(ap);
	return -1;
}

void trace_manifest_free(struct trace_manifest *m)
{
	for (size_t i = 0; i < m->nr; i++) {
		struct trace_stream_info *s = &m->streams[i];
		free(s->path);
		free(s->program);
		free(s->how);
		free(s->end);
	}
	free(m->streams);
	memset(m, 0, sizeof(*m));
}

/* The whole file, 0-terminated; NULL with *error. */
static char *slurp(const char *path, size_t *len, char **error)
{
	struct stat st;
	char *text = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st)) {
		fail(error, "%s: %s", path, strerror(errno));
	} else if (S_ISDIR(st.st_mode)) {
		fail(error, "%s: is a directory, not a recording", path);
	} else {
		char magic[8];
		ssize_t n = pread(fd, magic, sizeof(magic), 0);
		if (n == 8 && !memcmp(magic, TRACE_MAGIC, 8)) {
			*len = 0;
			text = strdup("");
		} else if (st.st_size > MANIFEST_MAX) {
			fail(error, "%s: not a recording", path);
		} else if ((text = malloc((size_t)st.st_size + 1))) {
			size_t done = 0;
			while ((n = read(fd, text + done, (size_t)st.st_size - done)) > 0)
				done += (size_t)n;
			text[done] = 0;
			*len = done;
		}
		if (!text && !*error)
			fail(error, "%s: out of memory", path);
	}
	if (fd >= 0)
		close(fd);
	return text;
}

static char *get_string(json_object *o, const char *key)
{
	json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return NULL;
	return strdup(json_object_get_string(v));
}

static uint32_t get_number(json_object *o, const char *key)
{
	json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int))
		return 0;
	int64_t n = json_object_get_int64(v);
	return n < 0 || n > UINT32_MAX ? 0 : (uint32_t)n;
}

static int add_stream(struct trace_manifest *m, json_object *o, const char *path, char **error)
{
	struct trace_stream_info *s = &m->streams[m->nr];
	char *file = get_string(o, "file");

	if (!file || strchr(file, '/')) {
		free(file);
		return fail(
			error, "%s: stream %zu of the recording has no file name", path, m->nr + 1);
	}
	m->nr++;
	const char *slash = strrchr(path, '/');
	if (asprintf(&s->path, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, file) < 0)
		s->path = NULL;
	free(file);
	s->program = get_string(o, "program");
	s->how = get_string(o, "how");
	s->end = get_string(o, "end");
	s->stream = get_number(o, "stream");
	s->parent_stream = get_number(o, "parent_stream");
	s->pid = get_number(o, "pid");
	return s->path ? 0 : fail(error, "%s: out of memory", path);
}

int trace_manifest_read(struct trace_manifest *m, const char *path, char **error)
{
	json_object *top = NULL, *v;
	size_t len = 0;
	int rc = -1;

	memset(m, 0, sizeof(*m));
	*error = NULL;
	char *text = slurp(path, &len, error);
	if (!text)
		return -1;
	if (!len && !(m->streams = calloc(1, sizeof(*m->streams)))) {
		fail(error, "%s: out of memory", path);
		goto out;
	}
	if (!len) {
		struct stat st;
		if (!stat(path, &st) && !st.st_size) {
			fail(error, "%s: offset 0: not a recording: the file is empty", path);
			goto out;
		}
		m->single = true;
		m->nr = 1;
		m->streams[0].path = strdup(path);
		rc = m->streams[0].path ? 0 : fail(error, "%s: out of memory", path);
		goto out;
	}
	struct json_tokener *t = json_tokener_new();
	top = json_tokener_parse_ex(t, text, (int)len);
	size_t at = json_tokener_get_parse_end(t);
	enum json_tokener_error why = json_tokener_get_error(t);
	json_tokener_free(t);
	if (!json_object_is_type(top, json_type_object) ||
		!json_object_object_get_ex(top, "pagefold_recording", &v)) {
		fail(error, "%s: offset %zu: not a recording%s%s", path, top ? 0 : at,
			top ? "" : ": ", top ? "" : json_tokener_error_desc(why));
		goto out;
	}
	if (json_object_get_int(v) != MANIFEST_VERSION) {
		fail(error, "%s: version %d of the manifest; this program reads version %d", path,
			json_object_get_int(v), MANIFEST_VERSION);
		goto out;
	}
	if (!json_object_object_get_ex(top, "streams", &v) ||
		!json_object_is_type(v, json_type_array) || !json_object_array_length(v)) {
		fail(error, "%s: the recording has no streams", path);
		goto out;
	}
	size_t nr = json_object_array_length(v);
	m->streams = calloc(nr, sizeof(*m->streams));
	if (!m->streams) {
		fail(error, "%s: out of memory", path);
		goto out;
	}
	rc = 0;
	for (size_t i = 0; i < nr && !rc; i++)
		rc = add_stream(m, json_object_array_get_idx(v, i), path, error);
out:
	json_object_put(top);
	free(text);
	if (rc)
		trace_manifest_free(m);
	return rc;
}

static void put_string(json_object *o, const char *key, const char *s)
{
	if (s)
		json_object_object_add(o, key, json_object_new_string(s));
}

int trace_manifest_write(const struct trace_manifest *m, const char *path, const char *source)
{
	json_object *top = json_object_new_object(), *streams = json_object_new_array();
	char *temporary;
	int rc = 0;

	json_object_object_add(top, "pagefold_recording", json_object_new_int(MANIFEST_VERSION));
	put_string(top, "source", source);
	for (size_t i = 0; i < m->nr; i++) {
		const struct trace_stream_info *s = &m->streams[i];
		const char *slash = strrchr(s->path, '/');
		json_object *o = json_object_new_object();

		json_object_object_add(o, "stream", json_object_new_int64(s->stream));
		put_string(o, "file", slash ? slash + 1 : s->path);
		json_object_object_add(o, "pid", json_object_new_int64(s->pid));
		json_object_object_add(o, "parent_stream", json_object_new_int64(s->parent_stream));
		put_string(o, "how", s->how);
		put_string(o, "program", s->program);
		put_string(o, "end", s->end);
		json_object_array_add(streams, o);
	}
	json_object_object_add(top, "streams", streams);
	if (asprintf(&temporary, "%s.new", path) < 0) {
		json_object_put(top);
		return -ENOMEM;
	}
	FILE *f = fopen(temporary, "we");
	if (!f) {
		rc = -errno;
	} else {
		if (fprintf(f, "%s\n",
			    json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY)) < 0)
			rc = -errno;
		if (fclose(f) && !rc)
			rc = -errno;
		if (!rc && rename(temporary, path))
			rc = -errno;
		if (rc)
			unlink(temporary);
	}
	free(temporary);
	json_object_put(top);
	return rc;
}
