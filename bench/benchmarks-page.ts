/** Writes docs/benchmarks.md from measurements. Pure: text in, text out. */

import { readFileSync } from 'node:fs'
import { limitOf } from './limits.ts'
import { holds, type Measurement, ratioToGate, showGate } from './measurement.ts'

const traps = readFileSync(new URL('./method.md', import.meta.url), 'utf8')

export function benchmarksPage(
  measurements: readonly Measurement[],
  machine: string,
  quick: boolean,
): string {
  const rows = measurements.map((one) => {
    const ratio = ratioToGate(one)
    const verdict = ratio === undefined ? '' : holds(one) ? 'holds' : '**falls short**'
    return `| ${one.name} | ${one.value.toLocaleString('en-US')} ${one.unit} | ${showGate(one)} | ${verdict} | ${ratio?.toFixed(2) ?? ''} |`
  })
  const methods = measurements.map((one) => `- **${one.name}**: ${one.method}.`)
  const short = [
    ...new Set(measurements.filter((one) => !holds(one)).map((one) => one.name.split('/')[0] ?? '')),
  ]
  const reasons = short.map((name) => `- **${name}**: ${limitOf(name) ?? 'not known yet'}`)
  return `# Benchmarks

The last run of \`npm run bench -- ${quick ? '--quick ' : ''}--write\`, on ${machine}. Generator, server, engine and
oracle share the cores. "Ratio" is how many times better (over 1) or worse (under 1) than the gate.

| benchmark | value | gate | | ratio |
| --- | ---: | ---: | --- | ---: |
${rows.join('\n')}

${reasons.length === 0 ? '' : `## What falls short, and why\n\n${reasons.join('\n')}\n`}
## How each was measured

${methods.join('\n')}

${traps}`
}
