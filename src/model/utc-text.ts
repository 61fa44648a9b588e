/** Moments as text: ISO 8601 in UTC with all six digits of a second. State: the text of the last millisecond. */

let lastMs = Number.NaN
let lastText = ''

/** `us` counts microseconds since the epoch. Quick: many answers fall into one millisecond. */
export function utcText(us: number): string {
  const ms = Math.floor(us / 1000)
  if (ms !== lastMs) {
    lastText = new Date(ms).toISOString().slice(0, -1)
    lastMs = ms
  }
  return `${lastText}${String(us - ms * 1000).padStart(3, '0')}Z`
}
