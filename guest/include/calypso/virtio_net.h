/* The virtio network card (virtio 1.2, section 5.1): finished Ethernet frames, both ways.
 *
 * Neither side leaves checksums or segments to the other: no such feature is asked for.
 */
#ifndef CALYPSO_VIRTIO_NET_H
#define CALYPSO_VIRTIO_NET_H

#include <calypso/types.h>

#define VIRTIO_NET_ADDRESS_SIZE 6

struct virtio_net;

/* A frame has come; it is gone after the call, which may come from an interrupt. */
typedef void virtio_net_receive(void *context, const uint8_t *frame, size_t length);

/* The `index`th card, made ready to send; 0, -ENODEV past the last, -ENOMEM. */
int virtio_net_open(unsigned index, virtio_net_receive *receive, void *context,
		    struct virtio_net **made);

/* Receive from now on: 0; -ENOMEM. Harmless once it does. */
int virtio_net_start_receiving(struct virtio_net *card);

/* The card's own address. */
void virtio_net_address(const struct virtio_net *card, uint8_t address[VIRTIO_NET_ADDRESS_SIZE]);

/* Whether it is connected to anything. */
bool virtio_net_has_link(struct virtio_net *card);

/* Take what has come. */
void virtio_net_look(struct virtio_net *card);

/* Send a copy of a frame: 0; -ENOBUFS while the queue is full; -ENOMEM; -EIO. */
int virtio_net_send(struct virtio_net *card, const void *frame, size_t length);

#endif
