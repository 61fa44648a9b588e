/**
 * The page about functions in TypeScript: its files make a project that runs, and what the page says of results, plans
 * and refusals holds. What is expected is worked out here by hand.
 */

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { runCommand } from '../../src/cli/cli-fixture.ts'
import { ServerProcess, type ViewAnswer } from '../support/server-process.ts'
import { read } from '../support/source-files.ts'

const page = read('docs/typescript-functions.md')
let server: ServerProcess | undefined
after(() => server?.dispose())

/** The page's blocks that begin with the path of a file. */
function files(): Record<string, string> {
  const blocks = [...page.matchAll(/```(?:ts|json)\n\/\/ (\S+)\n([\s\S]*?)```/g)]
  return Object.fromEntries(blocks.map(([, name = '', text = '']) => [name, text]))
}

const readings = [
  { id: 'r1', sensor: 'a', heat: 50, shake: 1, measured_at: '2024-05-01T10:00:00Z' },
  { id: 'r2', sensor: 'a', heat: 95, shake: 5, measured_at: '2024-05-01T10:00:01Z' },
  { id: 'r3', sensor: 'b', heat: 110, shake: 4, measured_at: '2024-05-01T10:00:02Z' },
  { id: 'r4', sensor: 'b', heat: 110, measured_at: '2024-05-01T10:00:03Z' },
]

test('the files of the page are a project that does what the page says', async () => {
  const { 'refold.config.ts': config = '', ...others } = files()
  assert.deepEqual(Object.keys(others).sort(), [
    'logic/anomaly.ts',
    'logic/band.ts',
    'model/weights.json',
    'shared/limited.ts',
  ])
  const withPort = config.replace('export default project({', '$&\n  server: { port: PORT },')
  server = await ServerProcess.create(withPort, others)
  await server.start()
  const { body } = await server.post(
    'readings',
    readings.map((one) => JSON.stringify(one)),
  )
  const alerts = await server.get<ViewAnswer>(`/v1/views/alerts?after=${body.cut}`)
  // 0.1 * 95 + 0.8 * 5 - 12 = 1.5 and 0.1 * 110 + 0.8 * 4 - 12 = 2.2; the others are below 0 or NULL.
  const sigmoid = (x: number) => Math.round(100 / (1 + Math.exp(-x))) / 100
  const expected = [
    { id: 'r2', sensor: 'a', score: sigmoid(1.5) },
    { id: 'r3', sensor: 'b', score: sigmoid(2.2) },
  ]
  assert.deepEqual(
    alerts.rows.toSorted((a, b) => (String(a['id']) < String(b['id']) ? -1 : 1)),
    expected,
  )
  const bands = await server.get<ViewAnswer>(`/v1/views/per_band?after=${body.cut}`)
  assert.deepEqual(
    bands.rows.toSorted((a, b) => (String(a['band']) < String(b['band']) ? -1 : 1)),
    [
      { band: 'cold', readings: 1, worst: sigmoid(5 + 0.8 - 12) },
      { band: 'hot', readings: 2, worst: sigmoid(2.2) },
      { band: 'warm', readings: 1, worst: sigmoid(1.5) },
    ],
  )
  const [, query = ''] = /```sql\n([\s\S]*?)```/.exec(page) ?? []
  const asked = await runCommand(['query', query, '--json', '--url', server.url], { cwd: server.folder })
  assert.equal(asked.code, 0, asked.err)
  assert.match(asked.out, new RegExp(`"would_be":${sigmoid(9.5 + 4 - 12)}`))
  assert.match(asked.out, new RegExp(`"would_be":${sigmoid(11 + 4 - 12)}`))
  const explained = await runCommand(['explain', 'alerts', '--url', server.url], { cwd: server.folder })
  assert.match(explained.out, /anomaly\(DOUBLE, DOUBLE\) → DOUBLE anomaly\$[0-9a-f]{12}, code [0-9a-f]{12}/)
})

test('the plan says of a new model what the page says', async () => {
  assert.ok(server !== undefined)
  const { writeFileSync } = await import('node:fs')
  writeFileSync(`${server.folder}/model/weights.json`, '{ "heat": 0.2, "shake": 0.8, "bias": -12 }')
  const plan = await runCommand(['plan', '--url', server.url], { cwd: server.folder })
  const [, text = ''] = /```text\n(.*)\n```/.exec(page) ?? []
  assert.ok(plan.out.includes(text), plan.out + plan.err)
  assert.equal(plan.out.split(text).length - 1, 2, 'for both views')
})
