/**
 * The names that a stream can not have, because the lines of the log use them as keys beside the stream's name.
 * Compared in lower case: readers of the log take column names so. Pure data.
 */

export const reservedStreamNames: ReadonlySet<string> = new Set([
  ...['commit', 't', 'n', 'bytes', 'offsets', 'wm', 'counts', 'crc'],
  ...['segment', 'base', 'format', 'prev'],
  ...['c', 'i', 'p', 'o', 'id', 'dead'],
])
