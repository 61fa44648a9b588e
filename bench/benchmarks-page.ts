/**
 * Writes docs/benchmarks.md from measurements, and keeps them beside it, so that a run of some benchmarks leaves the
 * others as they were last measured. Pure: text in, text out.
 */

import { readFileSync } from 'node:fs'
import { limitOf } from './limits.ts'
import { holds, type Measurement, ratioToGate, showGate } from './measurement.ts'

const traps = readFileSync(new URL('./method.md', import.meta.url), 'utf8')

/** A measurement with where and when it was made. */
export interface KeptMeasurement extends Measurement {
  readonly machine: string
  /** `full` or `quick`. */
  readonly run: string
  /** ISO date. */
  readonly day: string
}

/** What is kept after a run: new measurements in the place of those of the same name, in the order of the suites. */
export function keptAfter(
  kept: readonly KeptMeasurement[],
  made: readonly KeptMeasurement[],
  names: readonly string[],
): readonly KeptMeasurement[] {
  const byName = new Map([...kept, ...made].map((one) => [one.name, one]))
  const rank = ({ name }: KeptMeasurement) => names.indexOf(name.split('/')[0] ?? '')
  const known = [...byName.values()].filter((one) => rank(one) >= 0)
  return known.sort((a, b) => rank(a) - rank(b))
}

export function benchmarksPage(measurements: readonly KeptMeasurement[]): string {
  const rows = measurements.map((one) => {
    const ratio = ratioToGate(one)
    const verdict = ratio === undefined ? '' : holds(one) ? 'holds' : '**falls short**'
    return `| ${one.name} | ${one.value.toLocaleString('en-US')} ${one.unit} | ${showGate(one)} | ${verdict} | ${ratio?.toFixed(2) ?? ''} | ${one.day}${one.run === 'full' ? '' : `, ${one.run}`} |`
  })
  const machines = [...new Set(measurements.map((one) => one.machine))]
  const methods = measurements.map((one) => `- **${one.name}**: ${one.method}.`)
  const short = [
    ...new Set(measurements.filter((one) => !holds(one)).map((one) => one.name.split('/')[0] ?? '')),
  ]
  const reasons = short.map((name) => `- **${name}**: ${limitOf(name) ?? 'not known yet'}`)
  return `# Benchmarks

What \`npm run bench -- --write\` measured last, on ${machines.join('; ')}. Generator, server, engine and
oracle share the cores. A quick run (\`--quick\`) measures smaller amounts, and says so. "Ratio" is how many times better (over 1) or worse (under 1) than the gate.

| benchmark | value | gate | | ratio | measured |
| --- | ---: | ---: | --- | ---: | --- |
${rows.join('\n')}

${reasons.length === 0 ? '' : `## What falls short, and why\n\n${reasons.join('\n')}\n`}
## How each was measured

${methods.join('\n')}

${traps}`
}
