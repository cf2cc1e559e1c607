import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A key and a certificate that signs itself (PEM). */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** An authority that signs what it is asked to. */
const AUTHORITY = `
[ca]
default_ca = authority
[authority]
database = index
new_certs_dir = .
rand_serial = yes
default_md = sha256
copy_extensions = copy
policy = names
[names]
commonName = supplied
`;

/**
 * Makes one with openssl. `openssl ca` is the one that takes dates in every version: 3.5 refuses a
 * number of days below 1, and `x509` knows no dates before 3.4.
 * @param name what it is for, as openssl writes it: `IP:127.0.0.1`
 */
export function makeCertificate(
  name = 'IP:127.0.0.1',
  when: 'good' | 'expired' = 'good',
): Certificate {
  const cwd = mkdtempSync(join(tmpdir(), 'learnd-certificate-'));
  const openssl = (line: string): void => {
    execFileSync('openssl', line.split(' '), { cwd, stdio: 'pipe' });
  };
  try {
    writeFileSync(join(cwd, 'index'), '');
    writeFileSync(join(cwd, 'authority'), AUTHORITY);
    const curve = 'req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key';
    openssl(`${curve} -out request -subj /CN=controller -addext subjectAltName=${name}`);
    const dates = `-startdate 20000101000000Z -enddate ${when === 'good' ? '2049' : '2000'}1231000000Z`;
    const files = '-config authority -keyfile key -in request -out cert';
    openssl(`ca -selfsign -batch -notext ${files} ${dates}`);
    const [key = '', cert = ''] = ['key', 'cert'].map((file) =>
      readFileSync(join(cwd, file), 'utf8'),
    );
    return { key, cert };
  } finally {
    rmSync(cwd, { recursive: true });
  }
}
