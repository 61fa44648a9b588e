/**
 * Decimal numbers of any length as text: read, added, subtracted and written without losing a digit, doubles by the
 * shortest text that stands for them. So parts of a difference add up exactly, whatever the column's type. Pure.
 */

export interface Exact {
  readonly units: bigint
  /** Digits after the point. */
  readonly scale: number
}

const EXPONENT_MAX = 10_000

export const ZERO: Exact = { units: 0n, scale: 0 }

/** Undefined for what is no finite number, as `inf` and `nan` are not, or one with thousands of digits. */
export function parseExact(text: string): Exact | undefined {
  const parts = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(text.trim())
  if (parts === null || !/\d/.test(text)) return undefined
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = parts
  const magnitude = BigInt(`${whole}${fraction}` || '0')
  const units = sign === '-' ? -magnitude : magnitude
  // A text must not ask for gigabytes of zeros.
  if (Math.abs(Number(exponent)) > EXPONENT_MAX) return undefined
  const scale = fraction.length - Number(exponent)
  return scale >= 0 ? { units, scale } : { units: units * 10n ** BigInt(-scale), scale: 0 }
}

export function subtract(a: Exact, b: Exact): Exact {
  const scale = Math.max(a.scale, b.scale)
  return { units: rescaled(a, scale) - rescaled(b, scale), scale }
}

export function add(a: Exact, b: Exact): Exact {
  const scale = Math.max(a.scale, b.scale)
  return { units: rescaled(a, scale) + rescaled(b, scale), scale }
}

export function multiply(a: Exact, b: Exact): Exact {
  return { units: a.units * b.units, scale: a.scale + b.scale }
}

export function magnitude(a: Exact): Exact {
  return a.units < 0n ? { ...a, units: -a.units } : a
}

export function isAtMost(a: Exact, b: Exact): boolean {
  const scale = Math.max(a.scale, b.scale)
  return rescaled(a, scale) <= rescaled(b, scale)
}

/** Without zeros at the end of the fraction: one text for each number. */
export function shortText(value: Exact): string {
  const text = exactText(value)
  return value.scale === 0 ? text : text.replace(/\.?0+$/, '').replace(/^-0$/, '0')
}

export function exactText({ units, scale }: Exact): string {
  return unitsText(units, scale)
}

/** `unitsText(-5n, 2)` is `-0.05`. */
export function unitsText(units: bigint, scale: number): string {
  const sign = units < 0n ? '-' : ''
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0')
  if (scale === 0) return sign + digits
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

function rescaled({ units, scale }: Exact, wanted: number): bigint {
  return units * 10n ** BigInt(wanted - scale)
}
