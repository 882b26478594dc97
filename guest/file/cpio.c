/* cpio "newc": a header of ASCII fields, the path and the data, each padded to four bytes. */
#include <calypso/errno.h>
#include <calypso/lib.h>
#include <file/cpio.h>

/* Fields of eight hexadecimal digits, which follow the magic of six characters. */
enum field {
	FIELD_NUMBER,
	FIELD_MODE,
	FIELD_USER,
	FIELD_GROUP,
	FIELD_LINKS,
	FIELD_MODIFIED,
	FIELD_LENGTH,
	FIELD_MAJOR, /* of the device that held the file */
	FIELD_MINOR,
	FIELD_SPECIAL_MAJOR,
	FIELD_SPECIAL_MINOR,
	FIELD_PATH_LENGTH, /* with its NUL */
	FIELD_CHECKSUM,
	FIELD_COUNT,
};

#define MAGIC_LENGTH 6
#define DIGITS 8
#define HEADER_LENGTH (MAGIC_LENGTH + DIGITS * FIELD_COUNT)

static bool parse_hex(const uint8_t *digits, uint32_t *value)
{
	*value = 0;
	for (unsigned i = 0; i < DIGITS; i++) {
		unsigned digit = digits[i] - '0';
		if (digit > 9) {
			digit = (digits[i] | 0x20) - 'a';
			if (digit > 5)
				return false;
			digit += 10;
		}
		*value = *value << 4 | digit;
	}
	return true;
}

static bool parse_header(const uint8_t *header, uint32_t fields[FIELD_COUNT])
{
	if (memcmp(header, "070701", MAGIC_LENGTH) != 0 &&
	    memcmp(header, "070702", MAGIC_LENGTH) != 0)
		return false;
	for (unsigned i = 0; i < FIELD_COUNT; i++) {
		if (!parse_hex(header + MAGIC_LENGTH + i * DIGITS, &fields[i]))
			return false;
	}
	return true;
}

/* The member at the reader's offset, which moves behind it. */
static bool read_member(struct cpio_reader *reader, struct cpio_member *member)
{
	uint32_t fields[FIELD_COUNT];
	uint64_t left = reader->length - reader->offset;
	const uint8_t *header = reader->archive + reader->offset;
	if (left < HEADER_LENGTH || !parse_header(header, fields))
		return false;

	/* Lengths are below 2^32 and are added as 64 bits: nothing wraps. */
	uint64_t path_length = fields[FIELD_PATH_LENGTH];
	uint64_t data = ALIGN_UP(HEADER_LENGTH + path_length, 4);
	uint64_t end = data + fields[FIELD_LENGTH];
	if (path_length < 2 || end > left || header[HEADER_LENGTH + path_length - 1] != '\0')
		return false;

	*member = (struct cpio_member){
		.path = (const char *)header + HEADER_LENGTH,
		.data = header + data,
		.length = fields[FIELD_LENGTH],
		.identity = (uint64_t)fields[FIELD_MAJOR] << 52 |
			    (uint64_t)fields[FIELD_MINOR] << 32 | fields[FIELD_NUMBER],
		.links = fields[FIELD_LINKS],
		.mode = fields[FIELD_MODE],
		.user = fields[FIELD_USER],
		.group = fields[FIELD_GROUP],
		.modified = fields[FIELD_MODIFIED],
		.major = fields[FIELD_SPECIAL_MAJOR],
		.minor = fields[FIELD_SPECIAL_MINOR],
	};
	/* The padding behind the last member may be missing. */
	uint64_t next = ALIGN_UP(end, 4);
	reader->offset += next < left ? next : left;
	return true;
}

/* Skip zeros: an archive is padded to some block, in RAM to a page. */
static void skip_padding(struct cpio_reader *reader)
{
	uint64_t word;
	while (reader->length - reader->offset >= sizeof(word)) {
		memcpy(&word, reader->archive + reader->offset, sizeof(word));
		if (word != 0)
			break;
		reader->offset += sizeof(word);
	}
	while (reader->offset < reader->length && reader->archive[reader->offset] == 0)
		reader->offset++;
}

int cpio_next(struct cpio_reader *reader, struct cpio_member *member)
{
	for (;;) {
		skip_padding(reader);
		if (reader->offset == reader->length)
			return 0;
		if (!read_member(reader, member))
			return -EINVAL;
		if (strcmp(member->path, "TRAILER!!!") != 0)
			return 1;
	}
}
