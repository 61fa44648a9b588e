/** Views with two definitions as a project file says them: what is loaded, and where each mistake is found. */

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { loadProject } from './load.ts'
import { receivedProject } from './received-project.ts'

const folders: string[] = []
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

async function folderWith(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'refold-layers-'))
  folders.push(folder)
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true })
    await writeFile(path.join(folder, name), text)
  }
  return folder
}

const head = `import { lambda, project, stream, view } from 'refold'
import { z } from 'zod'
const sales = stream('sales', { schema: z.object({ user_id: z.string(), n: z.int() }) })
`
const end = 'export default project({ streams: [sales], views: [stats] })\n'
const batchSql = `SELECT user_id, sum(n) AS total FROM sales JOIN 'ref/users.csv' USING (user_id) GROUP BY user_id`
const speedSql = 'SELECT user_id, sum(n) AS total FROM sales GROUP BY user_id'

test('both definitions are loaded with their rules, places and the hashes of the files they name', async () => {
  const folder = await folderWith({
    'refold.config.ts': `${head}const stats = view('stats', {
  batch: \`${batchSql}\`,
  speed: '${speedSql}',
  key: ['user_id'],
  merge: { total: { sql: 'batch.total + speed.total' } },
  approximate: ['total'],
  run: lambda({ every: '1m' }),
})
${end}`,
    'ref/users.csv': 'user_id\nu1\n',
  })
  const loaded = await loadProject(folder)
  assert.ok(loaded.ok, JSON.stringify(loaded))
  const stats = loaded.project.views[0]
  assert.equal(stats?.sql, speedSql)
  const hash = createHash('sha256').update('user_id\nu1\n').digest('hex')
  const file = path.join(folder, 'refold.config.ts')
  assert.deepEqual(stats?.batch, {
    sql: batchSql,
    sqlPlace: { file, line: 5, column: 11 },
    key: ['user_id'],
    keyPlace: { file, line: 7, column: 8 },
    merge: { total: { kind: 'sql', sql: 'batch.total + speed.total', place: { file, line: 8, column: 27 } } },
    mergePlace: { file, line: 8, column: 10 },
    approximate: ['total'],
    approximatePlace: { file, line: 9, column: 16 },
    files: { 'ref/users.csv': hash },
  })
  assert.ok(loaded.files.includes(path.join(folder, 'ref/users.csv')), 'a reference file is watched')

  const sent = JSON.parse(JSON.stringify(loaded.project))
  assert.deepEqual(receivedProject(sent, loaded.project).views, loaded.project.views)
  sent.views[0].run = { kind: 'kappa' }
  assert.throws(() => receivedProject(sent, loaded.project), /two definitions and runs as kappa/)
})

test('the texts may stand in files of their own', async () => {
  const folder = await folderWith({
    'refold.config.ts': `${head}const stats = view('stats', { key: ['user_id'], merge: { total: 'add' }, run: lambda({ every: '1m' }) })
${end}`,
    'views/stats.batch.sql': speedSql,
    'views/stats.speed.sql': speedSql,
  })
  const loaded = await loadProject(folder)
  assert.ok(loaded.ok, JSON.stringify(loaded))
  assert.equal(loaded.project.views.length, 1)
  const stats = loaded.project.views[0]
  assert.equal(stats?.sqlPlace.file, path.join(folder, 'views/stats.speed.sql'))
  assert.equal(stats?.batch?.sqlPlace.file, path.join(folder, 'views/stats.batch.sql'))
  assert.deepEqual(Object.keys(stats?.sources ?? {}), [
    'refold.config.ts',
    'views/stats.batch.sql',
    'views/stats.speed.sql',
  ])
})

/** `line:column message` of each mistake of a view with these options, which begin in line 5. */
async function mistakesOf(options: string, files: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const folder = await folderWith({
    'refold.config.ts': `${head}const stats = view('stats', {\n${options}\n})\n${end}`,
    ...files,
  })
  const loaded = await loadProject(folder)
  assert.ok(!loaded.ok, 'the project was accepted')
  return loaded.mistakes.map(({ message, place }) => `${place?.line}:${place?.column} ${message}`)
}

const good = {
  texts: `batch: '${speedSql}', speed: '${speedSql}',`,
  key: `key: ['user_id'],`,
  merge: `merge: { total: 'add' },`,
  run: `run: lambda({ every: '1m' }),`,
}

test('each mistake is named at its place', async () => {
  const { texts, key, merge, run } = good
  assert.deepEqual(await mistakesOf(`${texts} ${key}\n${merge}`), [
    '4:15 view "stats" has two definitions, and kappa has no batch layer for the first',
  ])
  assert.deepEqual(
    await mistakesOf(`${texts} ${key}\n${merge} run: lambda({ every: '1m', incremental: true }),`),
    [
      '6:31 view "stats" has two definitions, and an incremental batch folds ranges, which its batch SQL may not',
    ],
  )
  assert.deepEqual(await mistakesOf(`${texts} ${merge}\n${run}`), [
    '4:15 view "stats": two definitions need a `key`',
  ])
  assert.deepEqual(await mistakesOf(`${texts}\n${key}\nmerge: { total: 'adds' }, ${run}`), [
    '7:17 view "stats": the merge rule "adds" of "total" is not known',
  ])
  assert.deepEqual(await mistakesOf(`${texts}\n${key}\nmerge: { total: 'add', user_id: 'max' }, ${run}`), [
    '7:33 view "stats": "user_id" is a part of the key and has a merge rule',
  ])
  assert.deepEqual(await mistakesOf(`batch: '${speedSql}',\n${key} ${merge} ${run}`), [
    '4:15 view "stats" has two definitions and no speed SQL',
  ])
  assert.deepEqual(await mistakesOf(`${texts}\nsql: 'SELECT 1 FROM sales', ${key} ${merge} ${run}`), [
    '6:6 view "stats" has both `sql` and two definitions',
  ])
  assert.deepEqual(await mistakesOf(`${texts}\n${key} ${merge} ${run}\napproximate: 'total'`), [
    '7:14 view "stats": `approximate` is not a list of columns',
  ])
})

test('a text without its view, and a text given twice, are mistakes of the file', async () => {
  const { texts, key, merge, run } = good
  const orphan = await mistakesOf(`sql: '${speedSql}'`, { 'views/other.batch.sql': 'SELECT 1' })
  assert.deepEqual(orphan, ['1:1 the project has no view "other" with two definitions'])
  const twice = await mistakesOf(`${texts} ${key} ${merge} ${run}`, { 'views/stats.batch.sql': 'SELECT 1' })
  assert.deepEqual(
    twice.map((text) => text.replace(/^\S+ /, '')),
    ['view "stats" has its batch SQL twice'],
  )
})
