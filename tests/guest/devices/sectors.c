/* Two threads write /dev/vda, 4 KiB: each its half of all sectors, over and over. */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 12
#define SECTORS 8
#define SECTOR 512
#define HALF (SECTOR / 2)

static int disk;
static const char letters[] = {'a', 'b'};

static void *write_halves(void *number)
{
	int which = *(const char *)number == 'b';
	char half[HALF];
	for (int round = 1; round <= ROUNDS; round++) {
		memset(half, round == ROUNDS ? letters[which] : '0' + round, HALF);
		for (int sector = 0; sector < SECTORS; sector++)
			pwrite(disk, half, HALF, sector * SECTOR + which * HALF);
	}
	return NULL;
}

int main(void)
{
	pthread_t other;
	disk = open("/dev/vda", O_RDWR);
	if (disk < 0)
		return 1;
	pthread_create(&other, NULL, write_halves, (void *)&letters[1]);
	write_halves((void *)&letters[0]);
	pthread_join(other, NULL);
	return 0;
}
