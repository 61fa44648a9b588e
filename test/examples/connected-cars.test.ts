/**
 * The example of connected cars, whole, by the commands of its README: readings scored live by a trained model, folded
 * again in bulk, and scored anew over all of history by another model. What is expected is computed here, from the
 * generated file and the model's weights, by a forward pass of its own.
 */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { ExampleRun } from '../support/example-run.ts'
import { root } from '../support/source-files.ts'

interface Reading {
  readonly reading_id: string
  readonly car_id: string
  readonly fault: string
  readonly [feature: string]: string | number
}

interface Weights {
  readonly features: readonly string[]
  readonly means: readonly number[]
  readonly deviations: readonly number[]
  readonly hidden: readonly (readonly number[])[]
  readonly output: readonly number[]
}

type Rows = readonly Readonly<Record<string, unknown>>[]

describe('the example of connected cars', () => {
  let example: ExampleRun
  before(async () => {
    example = await ExampleRun.start('connected-cars')
  })
  after(() => example.dispose())

  const file = (name: string) => readFileSync(join(example.server.folder, name), 'utf8')

  function readings(name: string): readonly Reading[] {
    return file(name)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Reading)
  }

  function weights(): Weights {
    return JSON.parse(file('model/anomaly.json')) as Weights
  }

  async function sql(text: string): Promise<Rows> {
    const { cut } = await example.server.get<{ cut: number }>('/v1/status')
    for (const view of ['alerts', 'car_health', 'model_quality']) {
      await example.server.get(`/v1/views/${view}?limit=1&after=${cut}`)
    }
    const answer = await fetch(`${example.server.url}/v1/sql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ sql: text, limit: 100_000 }),
    })
    const body = (await answer.json()) as { rows: Rows }
    assert.equal(answer.status, 200, JSON.stringify(body))
    return body.rows
  }

  async function check(all: readonly Reading[], by: Weights): Promise<void> {
    const scored = all.map((reading) => ({ ...reading, score: scoreOf(by, reading) }))
    const found = scored.filter(({ score }) => score > 0.8)
    const alerts = await sql('SELECT reading_id, car_id, score FROM alerts ORDER BY reading_id')
    const wanted = found.map(({ reading_id, car_id, score }) => ({ reading_id, car_id, score }))
    assert.ok(wanted.length > 100)
    assert.deepEqual(alerts, wanted.sort(byName('reading_id')))
    const health = await sql('SELECT * FROM car_health ORDER BY car_id')
    assert.deepEqual(
      health,
      grouped(scored, 'car_id', (own) => ({ worst: Math.max(...own.map(({ score }) => score)) })),
    )
    const quality = await sql('SELECT * FROM model_quality ORDER BY fault')
    assert.deepEqual(
      quality,
      grouped(scored, 'fault', () => ({})),
    )
  }

  test('the weights are those that the training writes', async () => {
    const before = file('model/anomaly.json')
    for (const lines of example.blocks('train')) await example.runAll(lines)
    assert.equal(file('model/anomaly.json'), before)
    assert.equal(before, readFileSync(join(root, 'examples/connected-cars/model/anomaly.json'), 'utf8'))
  })

  test('live and bulk give the scores of a plain forward pass', async () => {
    const [lines = []] = example.blocks()
    const ran = await example.runAll(lines)
    await check(readings('readings.ndjson'), weights())
    const quality = ran[3]?.out ?? ''
    assert.match(quality, /bearing\s+.*\b0\b/, 'the first model misses bearings')
    // The batch folded the lake in bulk, and found what was served live the same.
    assert.deepEqual(await sql('SELECT * FROM refold.divergence'), [])
    const [health] = await sql('SELECT sum(readings)::BIGINT AS n FROM batch.car_health')
    assert.equal(health?.['n'], 20_000)
  })

  test('a new model scores all of history, and what comes after it; the old one answers again at once', async () => {
    const first = weights()
    const [lines = []] = example.blocks('retrain')
    const ran = await example.runAll(lines)
    const plan = ran[1]?.out ?? ''
    assert.match(plan, /artefact "model" of function "anomaly_score" changed: "model\/anomaly\.json"/)
    assert.doesNotMatch(plan, /cars_per_hour/)
    const second = weights()
    assert.equal(second.features.length, 4)
    await check(readings('readings.ndjson'), second)
    await example.run('node generate.ts --seed 3 --readings 2000 --from 20000 > more.ndjson')
    await example.run('npx refold ingest more.ndjson --stream readings')
    const all = [...readings('readings.ndjson'), ...readings('more.ndjson')]
    await check(all, second)
    const [back = []] = example.blocks('rollback')
    await example.runAll(back)
    await check(all, first)
  })
})

// ---- a forward pass of its own ------------------------------------------------------------------------------------

function scoreOf({ features, means, deviations, hidden, output }: Weights, reading: Reading): number {
  const inputs = features.map((name, at) => (Number(reading[name]) - means[at]!) / deviations[at]!)
  let sum = output.at(-1)!
  hidden.forEach((unit, at) => {
    let own = unit.at(-1)!
    for (const [index, input] of inputs.entries()) own += unit[index]! * input
    sum += output[at]! * Math.tanh(own)
  })
  return Math.round((1 / (1 + Math.exp(-sum))) * 10_000) / 10_000
}

function grouped<T extends Reading & { readonly score: number }>(
  all: readonly T[],
  by: string,
  more: (own: readonly T[]) => object,
): Rows {
  const groups = Map.groupBy(all, (one) => one[by])
  return [...groups]
    .map(([key, own]) => {
      const alerts = own.filter(({ score }) => score > 0.8).length
      return { [by]: key, readings: own.length, alerts, ...more(own) }
    })
    .sort(byName(by))
}

function byName(name: string): (a: object, b: object) => number {
  const value = (row: object) => String((row as Record<string, unknown>)[name])
  return (a, b) => (value(a) < value(b) ? -1 : 1)
}
