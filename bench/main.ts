/**
 * `npm run bench`: runs the benchmarks and prints a table. `-- --json` one JSON object a line instead, `--only NAME`
 * a part, `--quick` smaller amounts (all within three minutes), `--write` also keeps the table in
 * docs/benchmarks.md. Exit code 0 when everything ran, whether or not the gates hold; 1 when something failed or an
 * answer was wrong. No state.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, totalmem } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { root } from '../scripts/steps.ts'
import { batchSuite } from './batch-suite.ts'
import { benchmarksPage, type KeptMeasurement, keptAfter } from './benchmarks-page.ts'
import { foldSuite } from './fold-suite.ts'
import { functionSuite } from './function-suite.ts'
import { ingestSuite } from './ingest-suite.ts'
import { type BenchContext, holds, type Measurement, ratioToGate, showGate } from './measurement.ts'
import { readsSuite } from './reads-suite.ts'
import { replaySuite } from './replay-suite.ts'
import { restartSuite } from './restart-suite.ts'
import { typescriptSuite } from './typescript-suite.ts'
import { viewsSuite } from './views-suite.ts'

const suites = [
  ingestSuite,
  viewsSuite,
  readsSuite,
  restartSuite,
  foldSuite,
  typescriptSuite,
  functionSuite,
  replaySuite,
  batchSuite,
]
const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
})

const known = suites.flatMap((suite) => suite.names)
const unknown = options.only.filter((name) => !known.includes(name))
if (unknown.length > 0) {
  console.error(`no benchmark "${unknown.join('", "')}"; there are: ${known.join(', ')}`)
  process.exit(1)
}

const startedMs = performance.now()
const context: BenchContext = {
  quick: options.quick,
  wants: (name) => options.only.length === 0 || options.only.includes(name),
  say: (text) =>
    console.error(`${((performance.now() - startedMs) / 1000).toFixed(0).padStart(4)} s  ${text}`),
}

process.once('SIGINT', () => process.exit(130))
const measurements: Measurement[] = []
for (const suite of suites) {
  if (!suite.names.some(context.wants)) continue
  try {
    for await (const measurement of suite.run(context)) {
      measurements.push(measurement)
      report(measurement)
    }
  } catch (error) {
    process.exitCode = 1
    console.error(`${suite.names.join(', ')} failed: ${error instanceof Error ? error.message : error}`)
  }
}

const machine = `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GB, Node ${process.versions.node}, ${process.platform} ${process.arch}`
const gated = measurements.filter((measurement) => measurement.gate !== undefined)
if (!options.json) console.log(`\n${gated.filter(holds).length} of ${gated.length} gates hold; ${machine}`)
if (options.write) keep()

function keep(): void {
  const file = path.join(root, 'docs/benchmarks.json')
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as KeptMeasurement[]) : []
  const day = new Date().toISOString().slice(0, 10)
  const run = options.quick ? 'quick' : 'full'
  const made = measurements.map((measurement) => ({ ...measurement, machine, run, day }))
  const kept = keptAfter(before, made, known)
  writeFileSync(file, `${JSON.stringify(kept, null, 2)}\n`)
  writeFileSync(path.join(root, 'docs/benchmarks.md'), benchmarksPage(kept))
}

function report(measurement: Measurement): void {
  const { name, value, unit, method } = measurement
  if (options.json) {
    console.log(
      JSON.stringify({ name, value, unit, gate: showGate(measurement), holds: holds(measurement), method }),
    )
    return
  }
  const ratio = ratioToGate(measurement)
  const verdict =
    ratio === undefined ? '' : `${holds(measurement) ? 'holds' : 'FALLS SHORT'} (${ratio.toFixed(2)}×)`
  console.log(
    `${name.padEnd(44)} ${String(value).padStart(10)} ${unit.padEnd(10)} ${showGate(measurement).padEnd(10)} ${verdict}\n    ${method}`,
  )
}
