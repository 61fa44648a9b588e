/**
 * Trains the model and writes it as JSON. The same arguments give the same file.
 *
 *   node train.ts --seed 7 --features engine_heat,oil_pressure,speed --out model/anomaly.json
 */

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { drive, type Reading, seeded } from './cars.ts'
import { type FeatureName, type Network, weighted } from './logic/network.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '7' },
    features: { type: 'string', default: 'engine_heat,oil_pressure,speed' },
    out: { type: 'string', default: 'model/anomaly.json' },
  },
})
const READINGS = 4_000
const EPOCHS = 30
const UNITS = 5
const RATE = 0.05

const features = values.features.split(',') as FeatureName[]
const readings = [...drive(Number(values.seed), READINGS, 50)]
const random = seeded(Number(values.seed) + 1)

const means = features.map((name) => mean(readings.map((reading) => reading[name])))
const deviations = features.map((name, at) =>
  Math.sqrt(mean(readings.map((reading) => (reading[name] - (means[at] ?? 0)) ** 2))),
)
const hidden = Array.from({ length: UNITS }, () => weights(features.length + 1))
const output = weights(UNITS + 1)

for (let epoch = 0; epoch < EPOCHS; epoch++) for (const reading of readings) learn(reading)

const network: Network = {
  features,
  means: means.map(rounded),
  deviations: deviations.map(rounded),
  hidden: hidden.map((unit) => unit.map(rounded)),
  output: output.map(rounded),
}
// A list of numbers on a line, so that people can read what changed.
const text = JSON.stringify(network, undefined, 2).replaceAll(/\[[^[\]]*\]/g, (list) =>
  list.replaceAll(/\s+/g, ' ').replace('[ ', '[').replace(' ]', ']'),
)
writeFileSync(values.out, `${text}\n`)

/** One step of gradient descent on the logarithmic loss. */
function learn(reading: Reading): void {
  const inputs = features.map((name, at) => (reading[name] - (means[at] ?? 0)) / (deviations[at] ?? 1))
  const units = hidden.map((unit) => Math.tanh(weighted(unit, inputs)))
  const guess = 1 / (1 + Math.exp(-weighted(output, units)))
  const error = guess - (reading.fault === 'none' ? 0 : 1)
  for (const [at, unit] of hidden.entries()) {
    const blame = error * (output[at] ?? 0) * (1 - (units[at] ?? 0) ** 2)
    descend(unit, inputs, blame)
  }
  descend(output, units, error)
}

function descend(own: number[], inputs: readonly number[], blame: number): void {
  for (const [at, input] of [...inputs, 1].entries()) own[at] = (own[at] ?? 0) - RATE * blame * input
}

function weights(count: number): number[] {
  return Array.from({ length: count }, () => random() - 0.5)
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length
}

function rounded(value: number): number {
  return Number(value.toFixed(5))
}
