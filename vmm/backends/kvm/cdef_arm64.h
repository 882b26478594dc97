/* What <linux/kvm.h> and <asm/kvm.h> have besides on arm64. */

struct kvm_vcpu_init {
    uint32_t target;
    uint32_t features[7];
};

struct kvm_one_reg {
    uint64_t id;
    uint64_t addr;
};

struct kvm_irq_level {
    uint32_t irq;
    uint32_t level;
};

struct kvm_create_device {
    uint32_t type;
    uint32_t fd;
    uint32_t flags;
};

struct kvm_device_attr {
    uint32_t flags;
    uint32_t group;
    uint64_t attr;
    uint64_t addr;
};
