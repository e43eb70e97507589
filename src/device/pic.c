// See pic.h. References are to the 8259A data sheet (Intel order 231468).
#include "device/pic.h"

enum { ICW1 = 0x10, ICW1_IC4 = 0x01, ICW4_AEOI = 0x02, ICW4_SFNM = 0x10, OCW3 = 0x08 };
enum { OCW3_RR = 0x02, OCW3_RIS = 0x01, OCW3_POLL = 0x04, OCW3_ESMM = 0x40, OCW3_SMM = 0x20 };

// How many inputs of `set` rank above the first one in priority order: 8 if the set is empty.
static unsigned pic_rank(const struct pic_half *half, u8 set)
{
    for (unsigned rank = 0; rank < 8; rank++)
        if (set >> ((half->lowest + 1 + rank) & 7) & 1)
            return rank;
    return 8;
}

// The input that wants service now, or -1.
static int pic_request(const struct pic *pic, unsigned which)
{
    const struct pic_half *half = &pic->half[which];
    u8 in_service = half->isr;
    if (half->special_mask)
        in_service &= (u8)~half->imr;
    if (half->fully_nested && which == 0)
        in_service &= (u8) ~(1 << PIC_CASCADE); // the slave sorts its own inputs
    unsigned rank = pic_rank(half, half->irr & (u8)~half->imr);
    if (rank == 8 || rank >= pic_rank(half, in_service))
        return -1;
    return (half->lowest + 1 + (int)rank) & 7;
}

static void pic_half_line(struct pic_half *half, unsigned input, bool level)
{
    u8 bit = (u8)(1 << input);
    if (half->elcr & bit)
        half->irr = level ? half->irr | bit : half->irr & (u8)~bit;
    else if (level && !(half->lines & bit))
        half->irr |= bit;
    half->lines = level ? half->lines | bit : half->lines & (u8)~bit;
}

static void pic_update(struct pic *pic)
{
    // The slave's output is a level in all but name: the master's latch follows it, so a request the slave withdraws
    // does not linger.
    struct pic_half *master = &pic->half[0];
    if (pic_request(pic, 1) >= 0) {
        pic_half_line(master, PIC_CASCADE, true);
        master->irr |= 1 << PIC_CASCADE;
    } else {
        pic_half_line(master, PIC_CASCADE, false);
        master->irr &= (u8) ~(1 << PIC_CASCADE);
    }
    bool level = pic_request(pic, 0) >= 0;
    if (level == pic->intr_level)
        return;
    pic->intr_level = level;
    wire_set(&pic->intr, level);
}

void pic_line(struct pic *pic, unsigned line, bool level)
{
    if (line >= PIC_LINES || line == PIC_CASCADE)
        return;
    pic_half_line(&pic->half[line / 8], line % 8, level);
    pic_update(pic);
}

static void pic_take(struct pic_half *half, unsigned input)
{
    u8 bit = (u8)(1 << input);
    if (!(half->elcr & bit))
        half->irr &= (u8)~bit;
    if (!half->auto_eoi)
        half->isr |= bit;
    else if (half->rotate_auto)
        half->lowest = (u8)input;
}

u8 pic_acknowledge(struct pic *pic)
{
    int input = pic_request(pic, 0);
    u8 vector;
    if (input < 0) {
        vector = pic->half[0].vector + 7; // spurious
    } else if (input != PIC_CASCADE) {
        pic_take(&pic->half[0], (unsigned)input);
        vector = pic->half[0].vector + (u8)input;
    } else {
        int slave_input = pic_request(pic, 1);
        pic_take(&pic->half[0], PIC_CASCADE);
        if (slave_input >= 0)
            pic_take(&pic->half[1], (unsigned)slave_input);
        vector = pic->half[1].vector + (slave_input >= 0 ? (u8)slave_input : 7);
    }
    pic_update(pic);
    return vector;
}

static void pic_icw1(struct pic_half *half, u8 value)
{
    u8 lines = half->lines, elcr = half->elcr, elcr_mask = half->elcr_mask;
    *half = (struct pic_half){
        .lines = lines,
        .elcr = elcr,
        .elcr_mask = elcr_mask,
        .irr = lines & elcr, // the edge latches are cleared, levels are not latched
        .lowest = 7,
        .icw_next = 2,
        .icw4_wanted = value & ICW1_IC4,
    };
}

// OCW2: end of interrupt and rotation; the three high bits are R, SL, EOI.
static void pic_ocw2(struct pic_half *half, u8 value)
{
    unsigned input = value & 7, command = value >> 5;
    switch (command) {
    case 0: // clear rotate in automatic EOI
    case 4: // set it
        half->rotate_auto = command == 4;
        break;
    case 1: // non-specific EOI
    case 5: // and rotate
    {
        unsigned rank = pic_rank(half, half->isr);
        if (rank == 8)
            break;
        input = (half->lowest + 1 + rank) & 7;
        half->isr &= (u8) ~(1 << input);
        if (command == 5)
            half->lowest = (u8)input;
        break;
    }
    case 3: // specific EOI
    case 7: // and rotate
        half->isr &= (u8) ~(1 << input);
        if (command == 7)
            half->lowest = (u8)input;
        break;
    case 6: // set priority
        half->lowest = (u8)input;
        break;
    }
}

static void pic_ocw3(struct pic_half *half, u8 value)
{
    if (value & OCW3_POLL)
        half->poll = true;
    if (value & OCW3_RR)
        half->read_isr = value & OCW3_RIS;
    if (value & OCW3_ESMM)
        half->special_mask = value & OCW3_SMM;
}

// Port offset 1: the ICWs that follow ICW1, and the mask after them.
static void pic_data(struct pic_half *half, u8 value)
{
    switch (half->icw_next) {
    case 0:
        half->imr = value;
        break;
    case 2:
        half->vector = value & 0xF8;
        half->icw_next = 3;
        break;
    case 3: // how the two are wired is not up to software here
        half->icw_next = half->icw4_wanted ? 4 : 0;
        break;
    case 4:
        half->auto_eoi = value & ICW4_AEOI;
        half->fully_nested = value & ICW4_SFNM;
        half->icw_next = 0;
        break;
    }
}

static void pic_write(struct pic *pic, unsigned which, u64 offset, u8 value)
{
    struct pic_half *half = &pic->half[which];
    if (offset)
        pic_data(half, value);
    else if (value & ICW1)
        pic_icw1(half, value);
    else if (value & OCW3)
        pic_ocw3(half, value);
    else
        pic_ocw2(half, value);
    pic_update(pic);
}

static u8 pic_read(struct pic *pic, unsigned which, u64 offset)
{
    struct pic_half *half = &pic->half[which];
    if (half->poll) { // "poll command": the next read is an acknowledge
        half->poll = false;
        int input = pic_request(pic, which);
        if (input < 0)
            return 0;
        pic_take(half, (unsigned)input);
        pic_update(pic);
        return 0x80 | (u8)input;
    }
    if (offset)
        return half->imr;
    return half->read_isr ? half->isr : half->irr;
}

static u64 pic_master_read(void *chip, u64 offset, unsigned bytes)
{
    (void)bytes;
    return pic_read(chip, 0, offset);
}

static u64 pic_slave_read(void *chip, u64 offset, unsigned bytes)
{
    (void)bytes;
    return pic_read(chip, 1, offset);
}

static void pic_master_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    (void)bytes;
    pic_write(chip, 0, offset, (u8)value);
}

static void pic_slave_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    (void)bytes;
    pic_write(chip, 1, offset, (u8)value);
}

static u64 pic_elcr_read(void *chip, u64 offset, unsigned bytes)
{
    (void)bytes;
    struct pic *pic = chip;
    return pic->half[offset].elcr;
}

static void pic_elcr_write(void *chip, u64 offset, unsigned bytes, u64 value)
{
    (void)bytes;
    struct pic *pic = chip;
    struct pic_half *half = &pic->half[offset];
    u8 elcr = (u8)value & half->elcr_mask;
    u8 now_level = elcr & (u8)~half->elcr;
    half->elcr = elcr;
    half->irr = (half->irr & (u8)~now_level) | (half->lines & now_level);
    pic_update(pic);
}

static void pic_reset(void *chip)
{
    struct pic *pic = chip;
    // Timer, keyboard and cascade, RTC and coprocessor are edge-triggered for ever (PIIX data sheet, ELCR1/2). Vectors
    // and masks are what a BIOS leaves behind: there is none here, and a kernel must not be hit by a line it never
    // asked for.
    pic->half[0] = (struct pic_half){.elcr_mask = 0xF8, .lowest = 7, .vector = 0x08, .imr = 0xFF};
    pic->half[1] = (struct pic_half){.elcr_mask = 0xDE, .lowest = 7, .vector = 0x70, .imr = 0xFF};
    pic->intr_level = false;
    wire_set(&pic->intr, false);
}

// ICWs come in the order 2, 3, 4.
static int pic_loaded(void *chip, struct error *error)
{
    const struct pic *pic = chip;
    for (unsigned i = 0; i < 2; i++)
        if (pic->half[i].icw_next == 1)
            return error_set(error, "no initialisation word 1 can be awaited");
    return 0;
}

static const struct state_field pic_half_fields[] = {
    STATE_FIELD(struct pic_half, irr),
    STATE_FIELD(struct pic_half, isr),
    STATE_FIELD(struct pic_half, imr),
    STATE_FIELD(struct pic_half, lines),
    STATE_FIELD(struct pic_half, elcr),
    STATE_FIELD(struct pic_half, vector),
    STATE_RANGE(struct pic_half, lowest, 0, 7),
    STATE_RANGE(struct pic_half, icw_next, 0, 4),
    STATE_BOOL(struct pic_half, icw4_wanted),
    STATE_BOOL(struct pic_half, read_isr),
    STATE_BOOL(struct pic_half, poll),
    STATE_BOOL(struct pic_half, special_mask),
    STATE_BOOL(struct pic_half, auto_eoi),
    STATE_BOOL(struct pic_half, rotate_auto),
    STATE_BOOL(struct pic_half, fully_nested),
};

static const struct state_field pic_fields[] = {
    STATE_STRUCTS(struct pic, half, pic_half_fields),
    STATE_BOOL(struct pic, intr_level),
};

static const struct state_section pic_state = STATE_SECTION("pic", 1, pic_fields, .post_load = pic_loaded);

const struct device_model pic_model = {
    .name = "pic",
    .ranges =
        {
            {DEVICE_PORTS, 0x20, 2, 1, pic_master_read, pic_master_write},
            {DEVICE_PORTS, 0xA0, 2, 1, pic_slave_read, pic_slave_write},
            {DEVICE_PORTS, 0x4D0, 2, 1, pic_elcr_read, pic_elcr_write},
        },
    .reset = pic_reset,
    .state = &pic_state,
};
