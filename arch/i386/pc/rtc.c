/* SPDX-License-Identifier: MIT */
/*
 * rtc.c: the date, from the battery-backed clock (MC146818) the PC has kept since 1984. Read once
 * at boot.
 *
 * The clock updates its registers once a second; bit 7 of register A says that it is about to.
 * Reading until two readings agree is enough, and needs no trust in that bit's timing. Digits are
 * BCD and hours may be 12-hour, as register B says. The clock is taken to hold UTC.
 */
#include <ringlet/arch.h>
#include <ringlet/lib.h>
#include <ringlet/module.h>
#include <ringlet/time.h>

#define CMOS_INDEX 0x70
#define CMOS_DATA 0x71
#define CMOS_STATUS_A 0x0a
#define CMOS_STATUS_B 0x0b
#define UPDATE_IN_PROGRESS 0x80
#define STATUS_B_24_HOURS 0x02
#define STATUS_B_BINARY 0x04
#define HOUR_PM 0x80

struct rtc_time {
    uint8_t second, minute, hour, day, month, year;
};

static uint8_t cmos_read(uint8_t reg)
{
    outb(CMOS_INDEX, reg);
    return inb(CMOS_DATA);
}

static struct rtc_time read_once(void)
{
    for (unsigned tries = 0; tries < 1000000 && (cmos_read(CMOS_STATUS_A) & UPDATE_IN_PROGRESS);
         tries++)
        ;
    return (struct rtc_time){.second = cmos_read(0),
                             .minute = cmos_read(2),
                             .hour = cmos_read(4),
                             .day = cmos_read(7),
                             .month = cmos_read(8),
                             .year = cmos_read(9)};
}

static unsigned digits(uint8_t value, bool binary)
{
    return binary ? value : (value >> 4) * 10 + (value & 15);
}

/*
 * Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March: leap days
 * come last.
 */
static uint64_t days_since_epoch(unsigned year, unsigned month, unsigned day)
{
    unsigned y = month <= 2 ? year - 1 : year;
    unsigned months_since_march = (month + 9) % 12;

    return y * 365u + y / 4 - y / 100 + y / 400 + (153 * months_since_march + 2) / 5 + day - 1 -
           719468u;
}

/* Seconds since 1970-01-01 00:00:00. Two-digit years are 1970 to 2069. */
static uint64_t rtc_read_seconds(void)
{
    struct rtc_time t, again = read_once();
    uint8_t status = cmos_read(CMOS_STATUS_B);
    bool binary = status & STATUS_B_BINARY;
    unsigned hour, year;

    do {
        t = again;
        again = read_once();
    } while (memcmp(&t, &again, sizeof(t)));

    hour = digits(t.hour & ~HOUR_PM, binary);
    if (!(status & STATUS_B_24_HOURS))
        hour = hour % 12 + (t.hour & HOUR_PM ? 12 : 0);
    year = digits(t.year, binary);
    year += year < 70 ? 2000 : 1900;
    return days_since_epoch(year, digits(t.month, binary), digits(t.day, binary)) * 86400 +
           hour * 3600u + digits(t.minute, binary) * 60u + digits(t.second, binary);
}
WALL_CLOCK(rtc_read_seconds);
