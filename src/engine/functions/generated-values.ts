/** Values of a type, for trying functions: usual ones and those at the edges, the same for the same seed. Pure. */

import type { FunctionType } from '../../define/function-def.ts'

export function generatedValues(type: FunctionType, count: number, seed: number): readonly unknown[] {
  const next = sequence(seed)
  return Array.from({ length: count }, () => anyOf(type, next))
}

function anyOf({ list, ...type }: FunctionType, next: () => number): unknown {
  if (list !== true) return single(type, next)
  return Array.from({ length: Math.floor(next() * 6) }, () => single(type, next))
}

const words = ['', 'a', 'A', 'user-1', 'Ünïcödé ✓', '0', 'null', "it's", 'two words', 'x'.repeat(100)]

function single(type: FunctionType, next: () => number): unknown {
  const whole = Math.floor(next() * 2_000) - 1_000
  const [, precision, scale] = /^DECIMAL\((\d+),(\d+)\)$/.exec(type.sql) ?? []
  if (precision !== undefined) {
    const digits = String(Math.floor(next() * 10 ** Math.min(6, Number(precision) - Number(scale))))
    return Number(scale) === 0 ? digits : `${digits}.${'5'.padEnd(Number(scale), '0')}`.replace(/0+$/, '')
  }
  const day = new Date(Date.UTC(2020, 0, 1) + Math.floor(next() * 3_650) * 86_400_000).toISOString()
  switch (type.sql) {
    case 'BOOLEAN':
      return next() < 0.5
    case 'INTEGER':
      return whole
    case 'BIGINT':
      return type.form === 'bigint' ? BigInt(whole) * 1_000_003n : whole
    case 'DOUBLE':
      return next() < 0.2 ? whole : whole * next()
    case 'DATE':
      return day.slice(0, 10)
    case 'TIMESTAMP':
      return day
    case 'UUID':
      return `00000000-0000-4000-8000-${String(Math.abs(whole)).padStart(12, '0')}`
    case 'JSON':
      return { value: whole, tags: [words[Math.abs(whole) % words.length]] }
    default:
      return words[Math.abs(whole) % words.length]
  }
}

/** Numbers from 0 to 1, spread enough for this. */
function sequence(seed: number): () => number {
  let state = (seed * 2_654_435_761) % 4_294_967_296
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 4_294_967_296
  }
}
