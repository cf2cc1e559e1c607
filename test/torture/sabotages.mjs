/**
 * Ways to break the program that a suite must notice, each as a change of the source's text. The
 * suite is run in its short length.
 */
export const SABOTAGES = [];
