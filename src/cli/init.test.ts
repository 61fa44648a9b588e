/** What `init` writes is a project that loads, and it never touches what is there. */

import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadProject } from '../define/load.ts'
import { runCommand } from './cli-fixture.ts'
import { packageName } from './init.ts'

test('the project that it writes loads without a mistake', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'refold-init-'))
  const { code, out } = await runCommand(['init', 'My Shop', '--json'], { cwd })
  assert.equal(code, 0)
  const { dir, files } = JSON.parse(out) as { dir: string; files: string[] }
  assert.equal(dir, join(cwd, 'My Shop'))
  const loaded = await loadProject(dir)
  assert.ok(loaded.ok, JSON.stringify(loaded))
  assert.deepEqual(loaded.project.views.map((view) => view.name).sort(), ['customers', 'hourly', 'products'])
  assert.deepEqual(
    files,
    (await readdir(dir, { recursive: true })).filter((name) => files.includes(name)).sort(),
  )
  assert.ok(files.includes('.gitignore'))
  const manifest = JSON.parse(await readFile(join(dir, 'package.json'), 'utf8')) as Record<string, unknown>
  assert.equal(manifest['name'], 'my-shop')
  for (const file of files) assert.doesNotMatch(await readFile(join(dir, file), 'utf8'), /\{\{/, file)
})

test('a folder that has one of the files keeps everything as it is', async () => {
  const cwd = await mkdtemp(join(tmpdir(), 'refold-init-'))
  await writeFile(join(cwd, 'README.md'), 'mine')
  const { code, err } = await runCommand(['init'], { cwd })
  assert.equal(code, 2)
  assert.match(err, /already has "README\.md"; nothing was written/)
  assert.deepEqual(await readdir(cwd), ['README.md'])
  assert.equal(await readFile(join(cwd, 'README.md'), 'utf8'), 'mine')
})

test('folder names become package names', () => {
  const names = {
    shop: 'shop',
    'My Shop': 'my-shop',
    '.hidden_': 'hidden_',
    抹茶: 'my-project',
    'a@b': 'a-b',
  }
  for (const [folder, name] of Object.entries(names)) assert.equal(packageName(folder), name)
})
