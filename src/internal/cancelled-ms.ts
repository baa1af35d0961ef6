/** How long a state store remembers what was taken back: longer than anybody tries its publish again. */
export const cancelledMs = 120_000;
