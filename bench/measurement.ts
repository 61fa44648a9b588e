/** What a benchmark hands back, and the gates it is held to. Pure data. */

export interface Measurement {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** The bound that the value is held to; left out where the value is only told. */
  readonly gate?: { readonly at: 'least' | 'most'; readonly bound: number }
  readonly method: string
}

export interface BenchContext {
  /** Smaller amounts, so that all benchmarks together take under three minutes. */
  readonly quick: boolean
  /** Whether this measurement was asked for. */
  wants(name: string): boolean
  /** One line of talk, to stderr. */
  say(text: string): void
}

/** A suite is a group of benchmarks that share a running server; it yields measurements as they are made. */
export interface Suite {
  readonly names: readonly string[]
  run(context: BenchContext): AsyncIterable<Measurement>
}

export function holds(measurement: Measurement): boolean {
  const { gate, value } = measurement
  if (gate === undefined) return true
  return gate.at === 'least' ? value >= gate.bound : value <= gate.bound
}

/** How many times better (over 1) or worse (under 1) than the gate. */
export function ratioToGate(measurement: Measurement): number | undefined {
  const { gate, value } = measurement
  if (gate === undefined) return undefined
  return gate.at === 'least' ? value / gate.bound : gate.bound / value
}

export function showGate(measurement: Measurement): string {
  const { gate } = measurement
  return gate === undefined ? '' : `${gate.at === 'least' ? '≥' : '≤'} ${gate.bound}`
}

export const atLeast = (bound: number) => ({ at: 'least', bound }) as const
export const atMost = (bound: number) => ({ at: 'most', bound }) as const
