/** A step that has ended is not heard any more; but its commit may be sent again, and its last lines. */
export const LAST_WORDS_SECONDS = 60;
