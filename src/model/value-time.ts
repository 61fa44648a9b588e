/**
 * Timestamps and dates as text: RFC 3339 in, canonical UTC out, really validated (no 30 February, no second 60,
 * years 0001 to 9999). No state.
 *
 * Canonical timestamp: `YYYY-MM-DDTHH:MM:SS.ffffffZ`; the fraction is left out when zero and never ends in 0. More
 * than six digits of a second are refused unless the rest is zeros: DuckDB keeps microseconds, and a log that
 * silently dropped digits would not hold what was sent.
 */

/** Canonical text of a timestamp, or undefined. Without `offset` only `Z` may end it. */
export function canonicalTimestamp(text: string, offset: boolean): string | undefined {
  const match = timestampPattern.exec(text)
  if (match === null) return undefined
  const [, date = '', hour = '', minute = '', second = '00', digits = '', zone = ''] = match
  if (!isDayOf(date) || hour > '23' || minute > '59' || second > '59') return undefined
  const fraction = digits.replace(/0+$/, '')
  if (fraction.length > 6) return undefined
  const tail = fraction === '' ? 'Z' : `.${fraction}Z`
  if (zone === 'Z') return `${date}T${hour}:${minute}:${second}${tail}`
  if (!offset) return undefined
  const zoneHours = zone.slice(1, 3)
  const zoneMinutes = zone.slice(4, 6)
  if (zoneHours > '23' || zoneMinutes > '59') return undefined
  const shiftMinutes = (Number(zoneHours) * 60 + Number(zoneMinutes)) * (zone[0] === '-' ? -1 : 1)
  const localMs = Date.parse(`${date}T${hour}:${minute}:${second}Z`)
  const utc = new Date(localMs - shiftMinutes * 60_000)
  if (utc.getUTCFullYear() < 1 || utc.getUTCFullYear() > 9999) return undefined
  return utc.toISOString().slice(0, 19) + tail
}

/** Why `canonicalTimestamp` gave nothing, as the end of a sentence. */
export function timestampFault(text: string, offset: boolean): string {
  const match = timestampPattern.exec(text)
  if (match === null) return 'is not a timestamp such as "2026-01-31T12:00:00Z"'
  if ((match[5] ?? '').replace(/0+$/, '').length > 6) return 'has more than 6 digits of a second'
  if (!offset && match[6] !== 'Z') return 'must end in Z (the schema does not declare offsets)'
  return 'is not a time that exists in the years 0001 to 9999'
}

const timestampPattern = /^(\d{4}-\d{2}-\d{2})T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?(Z|[+-]\d{2}:\d{2})$/

/** Whether a text is a date `YYYY-MM-DD` that exists, in the years 0001 to 9999. */
export function isDate(text: string): boolean {
  return text.length === 10 && /^\d{4}-\d{2}-\d{2}$/.test(text) && isDayOf(text)
}

function isDayOf(text: string): boolean {
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2)
  return isDay(year, twoDigits(text, 5), twoDigits(text, 8))
}

export function isDay(year: number, month: number, day: number): boolean {
  if (year < 1 || month < 1 || month > 12 || day < 1) return false
  if (day <= 28) return true
  if (month === 2) return day === 29 && isLeapYear(year)
  return day <= (month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31)
}

function isLeapYear(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
}

/** Of the Gregorian calendar, counted in years that begin on 1 March, so that leap days come last. */
export function daysSinceEpoch(year: number, month: number, day: number): number {
  const fromMarch = month > 2 ? year : year - 1
  const monthFromMarch = month > 2 ? month - 3 : month + 9
  const leapDays = Math.floor(fromMarch / 4) - Math.floor(fromMarch / 100) + Math.floor(fromMarch / 400)
  return fromMarch * 365 + leapDays + Math.floor((153 * monthFromMarch + 2) / 5) + day - 719_469
}

/** The number that two digits make, NaN when they are none. */
export function twoDigits(text: string, position: number): number {
  const tens = text.charCodeAt(position) - 48
  const ones = text.charCodeAt(position + 1) - 48
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN
}

/** Microseconds since the epoch of a canonical timestamp; exact within `timeUsMax` of it, rounded beyond. */
export function timestampUs(canonical: string): number {
  const year = twoDigits(canonical, 0) * 100 + twoDigits(canonical, 2)
  const days = daysSinceEpoch(year, twoDigits(canonical, 5), twoDigits(canonical, 8))
  const minutes = twoDigits(canonical, 11) * 60 + twoDigits(canonical, 14)
  const seconds = minutes * 60 + twoDigits(canonical, 17)
  const fraction = canonical.length > 20 ? Number(canonical.slice(20, -1).padEnd(6, '0')) : 0
  return (days * 86_400 + seconds) * 1_000_000 + fraction
}

/** Event time must be exact as a count of microseconds in a double: the years 1684 to 2255. */
export const timeUsMax = Number.MAX_SAFE_INTEGER
