/** The commands of `docs/lake.md` and `docs/backup.md` do what the pages say, and the glob gives exactly the events. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { DuckDBInstance } from '@duckdb/node-api'
import { runCommand } from '../src/cli/cli-fixture.ts'
import { loadProject } from '../src/define/load.ts'
import { SalesServer } from './support/sales-server.ts'

const shop = new SalesServer()
let url = ''
before(async () => {
  await shop.open(shop.project(), { http: true })
  url = shop.server?.http?.url ?? ''
  for (let round = 0; round < 3; round++) {
    await shop.send(100)
    await shop.server?.flush()
  }
})
after(() => shop.dispose())

function page(name: string): string {
  return readFileSync(path.join(import.meta.dirname, '..', 'docs', name), 'utf8')
}

function examples(name: string, language: string): string[] {
  const blocks = page(name).matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\\n\`\`\``, 'g'))
  return [...blocks].map(([, text = '']) => text)
}

async function run(command: string) {
  const args = command.split(' ').slice(1)
  const folders = { BACKUP: path.join(shop.folder, 'backup'), RESTORED: path.join(shop.folder, 'restored') }
  const named = args.map((arg) => folders[arg as keyof typeof folders] ?? arg)
  return await runCommand(named, { cwd: shop.folder, env: { REFOLD_URL: url } })
}

test('the glob gives exactly the events, and so do the paths that are listed', async () => {
  const [sql = ''] = examples('lake.md', 'sql')
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const folder = path.join(shop.dataDir, 'lake')
  const counted = await connection.runAndReadAll(sql.replace('.refold/lake', folder))
  assert.deepEqual(counted.getRowsJson(), [[String(shop.sent.length)]])
  const all = `SELECT id, "user", amount, "at" FROM read_parquet('${folder}/sales/*.parquet', union_by_name = true) ORDER BY _commit, _index`
  const rows = (await connection.runAndReadAll(all)).getRowsJson()
  assert.deepEqual(
    rows.map(([id, user, amount, at]) => [id, user, amount, String(at).slice(0, 19)]),
    shop.sent.map(({ id, user, amount, at }) => [id, user, amount, at.replace('T', ' ').slice(0, 19)]),
  )
  const { out } = await run('refold lake list --json')
  const { streams } = JSON.parse(out) as { streams: { list: { path: string; rows: number }[] }[] }
  const paths = streams.flatMap(({ list }) => list.map((file) => file.path))
  const listed = paths.map((each) => `'${each}'`).join(', ')
  const again = await connection.runAndReadAll(`SELECT count(*) FROM read_parquet([${listed}])`)
  assert.deepEqual(again.getRowsJson(), counted.getRowsJson())
  connection.closeSync()
})

test('every command of both pages does what it says', async () => {
  const commands = [...examples('lake.md', 'sh'), ...examples('backup.md', 'sh')].flatMap((text) =>
    text.split('\n'),
  )
  assert.ok(commands.length >= 9)
  for (const command of commands) {
    const { code, err } = await run(command)
    assert.equal(code, 0, `${command}\n${err}`)
  }
  const { out } = await run('refold lake')
  assert.match(out, /sales +2 +1 +100 /)
})

test('the settings of the page are those of a project', async () => {
  const [text = ''] = examples('lake.md', 'ts')
  const { writeFileSync } = await import('node:fs')
  writeFileSync(
    path.join(shop.folder, 'refold.config.ts'),
    `import { project, stream } from 'refold'\nimport { z } from 'zod'\nconst schema = z.object({ id: z.string() })\n` +
      `export default project({ streams: [${text.split('\n').join(', ')}] })\n`,
  )
  const loaded = await loadProject(shop.folder)
  assert.ok(loaded.ok)
  assert.deepEqual(
    loaded.project.streams.map(({ retention }) => retention),
    [
      { hotMs: 3_600_000, lake: { ageMs: 400 * 86_400_000, promote: true } },
      { lake: { bytes: 100e9, promote: true } },
      { lake: { ageMs: 400 * 86_400_000, promote: false } },
    ],
  )
})
