/**
 * Prints readings as NDJSON.
 *
 *   node generate.ts --seed 1 --readings 20000 [--from 0]
 */

import { parseArgs } from 'node:util'
import { drive } from './cars.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    readings: { type: 'string', default: '20000' },
    from: { type: 'string', default: '0' },
  },
})
const CARS = 200
const readings = drive(Number(values.seed), Number(values.readings), CARS, Number(values.from))
process.stdout.write([...readings].map((reading) => `${JSON.stringify(reading)}\n`).join(''))
