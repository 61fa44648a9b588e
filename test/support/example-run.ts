/**
 * For tests: runs an example as its README says. The project is copied into a folder of its own, a real server is
 * started in it, and the commands of the README's blocks are run in order, `npx refold …` by the command line in this
 * process and everything else as it stands there. State: the server.
 */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RanCommand, runCommand } from '../../src/cli/cli-fixture.ts'
import { ServerProcess } from './server-process.ts'
import { root } from './source-files.ts'

export class ExampleRun {
  readonly server: ServerProcess
  readonly readme: string

  private constructor(server: ServerProcess, readme: string) {
    this.server = server
    this.readme = readme
  }

  /** Starts the server; the project file gets a port of its own. */
  static async start(name: string): Promise<ExampleRun> {
    const copy = mkdtempSync(join(tmpdir(), 'refold-example-'))
    cpSync(join(root, 'examples', name), copy, { recursive: true })
    const config = readFileSync(join(copy, 'refold.config.ts'), 'utf8')
    const withPort = config.replace(/export default project\(\{/, '$&\n  server: { port: PORT },')
    assert.notEqual(withPort, config)
    const server = await ServerProcess.create(withPort)
    const isOther = (path: string) => !path.endsWith('refold.config.ts')
    cpSync(copy, server.folder, { recursive: true, filter: isOther })
    rmSync(copy, { recursive: true })
    await server.start()
    return new ExampleRun(server, readFileSync(join(server.folder, 'README.md'), 'utf8'))
  }

  /** The commands of the README's blocks with this mark after `sh`, block by block. */
  blocks(mark = ''): readonly (readonly string[])[] {
    const fence = new RegExp(`\`\`\`sh${mark === '' ? '' : ` ${mark}`}\\n([\\s\\S]*?)\`\`\``, 'g')
    return [...this.readme.matchAll(fence)].map(([, text = '']) => text.trim().split('\n'))
  }

  /** Runs one command line as it stands in the README; fails where the exit code is not the one that is expected. */
  async run(line: string, code = 0): Promise<RanCommand> {
    const refold = /^npx refold (.*)$/.exec(line)
    if (refold === null) return this.#shell(line)
    const args = [...(refold[1] ?? '').matchAll(/"([^"]*)"|(\S+)/g)].map(
      ([, quoted, plain]) => quoted ?? plain ?? '',
    )
    const ran = await runCommand([...args, '--url', this.server.url], { cwd: this.server.folder })
    assert.equal(ran.code, code, `${line}\n${ran.out}${ran.err}\n${this.server.errors}`)
    return ran
  }

  async runAll(lines: readonly string[]): Promise<readonly RanCommand[]> {
    const all: RanCommand[] = []
    for (const line of lines) all.push(await this.run(line))
    return all
  }

  /** A change of a file that the README asks for. */
  edit(file: string, from: string, to: string): void {
    const path = join(this.server.folder, file)
    const text = readFileSync(path, 'utf8')
    assert.ok(text.includes(from), `${file} has ${from}`)
    writeFileSync(path, text.replace(from, to))
  }

  async dispose(): Promise<void> {
    await this.server.dispose()
  }

  /** `node PROGRAM ARGUMENTS > FILE`. */
  #shell(line: string): RanCommand {
    const [, args = '', file] = /^node (.*?)(?: > (\S+))?$/.exec(line) ?? []
    assert.notEqual(args, '', `a command that the test can run: ${line}`)
    const out = execFileSync(process.execPath, args.split(' '), {
      cwd: this.server.folder,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    })
    if (file !== undefined) writeFileSync(join(this.server.folder, file), out)
    return { code: 0, out, err: '' }
  }
}
