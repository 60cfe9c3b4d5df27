/* SPDX-License-Identifier: MIT */
/*
 * vga.c: the text screen: 80 x 25 cells of two bytes (character, colours) at physical 0xB8000.
 *
 * The firmware leaves the adapter in this mode and GRUB keeps it. The screen is reached through the
 * direct map. The cursor is two registers of the CRT controller, an index written to 0x3D4 and the
 * value to 0x3D5 (IBM VGA reference: 0x0E and 0x0F, high and low byte of the cell's number).
 *
 * Read next: xen/console.c.
 */
#include <ringlet/arch.h>
#include <ringlet/console.h>
#include <ringlet/page.h>

#define COLUMNS 80u
#define ROWS 25u
#define SCREEN 0xB8000
#define CELL(c) (uint16_t)(0x0700 | (uint8_t)(c)) /* light grey on black */
#define CRTC_INDEX 0x3D4
#define CRTC_DATA 0x3D5
#define CURSOR_HIGH 0x0E
#define CURSOR_LOW 0x0F

/* Guarded by console_lock. NULL: not started. */
static volatile uint16_t *screen;
static unsigned column, row;

static void show_cursor(void)
{
    unsigned cell = row * COLUMNS + column;

    outb(CRTC_INDEX, CURSOR_HIGH);
    outb(CRTC_DATA, cell >> 8);
    outb(CRTC_INDEX, CURSOR_LOW);
    outb(CRTC_DATA, cell & 0xff);
}

static void scroll(void)
{
    for (unsigned i = 0; i < (ROWS - 1) * COLUMNS; i++)
        screen[i] = screen[i + COLUMNS];
    for (unsigned i = (ROWS - 1) * COLUMNS; i < ROWS * COLUMNS; i++)
        screen[i] = CELL(' ');
}

static void next_row(void)
{
    column = 0;
    if (++row == ROWS) {
        row = ROWS - 1;
        scroll();
    }
}

/* Clear the screen. The direct map must exist. */
static void vga_init(void)
{
    if (!options.console_vga)
        return;
    screen = direct_map(SCREEN);
    for (unsigned i = 0; i < ROWS * COLUMNS; i++)
        screen[i] = CELL(' ');
    column = row = 0;
    show_cursor();
}

/*
 * Print one character; newline, carriage return, backspace and tab move the cursor, other controls
 * do nothing.
 */
static void vga_putc(char c)
{
    if (!screen)
        return;
    if (c == '\n') {
        next_row();
    } else if (c == '\r') {
        column = 0;
    } else if (c == '\b') {
        column -= column > 0;
    } else if (c == '\t') {
        column = MIN(ROUND_UP(column + 1, 8), COLUMNS - 1);
    } else if ((uint8_t)c >= ' ') {
        screen[row * COLUMNS + column] = CELL(c);
        if (++column == COLUMNS)
            next_row();
    }
    show_cursor();
}
CONSOLE_DEVICE(vga_init, vga_putc);
