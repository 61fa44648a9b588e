/** One contract for the real files and their double, and what the double loses. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { FaultyFiles } from './faulty-files.ts'
import { errnoOf, type Files, readFully, realFiles, writeAll } from './files.ts'

const kinds: readonly { name: string; open: () => Promise<{ files: Files; dir: string }> }[] = [
  {
    name: 'real',
    open: async () => ({ files: realFiles, dir: await mkdtemp(join(tmpdir(), 'refold-files-')) }),
  },
  { name: 'double', open: async () => ({ files: new FaultyFiles(() => 0), dir: '/dir' }) },
]

for (const { name, open } of kinds) {
  test(`${name} files: what is written is read, cut, named and removed`, async () => {
    const { files, dir } = await open()
    await files.mkdir(join(dir, 'a/b'))
    const path = join(dir, 'a/b/file')
    assert.equal(await files.size(path), undefined)
    await assert.rejects(files.open(path, 'write'), (error) => errnoOf(error) === 'ENOENT')
    const handle = await files.open(path, 'create')
    await writeAll(handle, [Buffer.from('hello '), Buffer.alloc(0), Buffer.from('world')], 0)
    await writeAll(handle, [Buffer.from('W')], 6)
    await handle.datasync()
    await files.syncDir(join(dir, 'a/b'))
    const buffer = Buffer.alloc(20)
    assert.equal(await readFully(handle, buffer, 2), 9)
    assert.equal(buffer.subarray(0, 9).toString(), 'llo World')
    await handle.truncate(5)
    assert.equal(await handle.size(), 5)
    await handle.close()
    await files.rename(path, `${path}2`)
    assert.deepEqual(await files.readdir(join(dir, 'a/b')), ['file2'])
    assert.equal((await files.readFile(`${path}2`)).toString(), 'hello')
    await files.unlink(`${path}2`)
    await assert.rejects(files.readFile(`${path}2`), (error) => errnoOf(error) === 'ENOENT')
    if (name === 'real') await rm(dir, { recursive: true })
  })
}

test('writing everything loops over short writes', async () => {
  for (let bytes = 1; bytes < 9; bytes++) {
    const files = new FaultyFiles(() => 0)
    files.fault = ({ kind }) => (kind === 'write' ? { kind: 'short', bytes } : undefined)
    const handle = await files.open('/x', 'create')
    await writeAll(handle, [Buffer.from('abc'), Buffer.from('d'), Buffer.from('efgh')], 0)
    assert.equal(files.contents('/x')?.toString(), 'abcdefgh')
  }
})

test('the double loses what was not synced, and nothing else', async () => {
  const files = new FaultyFiles(() => 0)
  const handle = await files.open('/d/x', 'create')
  await files.syncDir('/d')
  await writeAll(handle, [Buffer.from('kept')], 0)
  await handle.datasync()
  await writeAll(handle, [Buffer.from('lost')], 4)
  await files.unlink('/d/x')
  files.crash()
  assert.equal(files.afterKill().contents('/d/x'), undefined)
  const unnamed = new FaultyFiles(() => 1)
  await unnamed.open('/d/y', 'create')
  assert.deepEqual(unnamed.afterPowerLoss().paths(), [])
})
