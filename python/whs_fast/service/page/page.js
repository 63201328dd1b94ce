// The page of the service: sends scans, follows their jobs, opens their results. It keeps nothing; the token lives in a
// cookie that scripts cannot read. Names of files are not sent: they may be a patient's.

const find = (id) => document.getElementById(id);
const rows = new Map(); // of each job: its element
let events; // of all jobs: a browser holds six connections to a service

const SUFFIXES = [".nii.gz", ".nii", ".nrrd", ".mha", ".zip", ".dcm"];
const STATES = {
  uploading: "Uploading", queued: "Waiting", running: "Running", done: "Done", failed: "Failed", cancelled: "Cancelled",
};
const STEPS = {
  read: "reading", localise: "finding the aortic valve", segment: "segmenting", clean: "cleaning", measure: "measuring",
  write: "writing",
};

function complain(text) {
  find("problem").textContent = text;
  find("problem").hidden = !text;
}

async function ask(path, options = {}) {
  const answer = await fetch(path, options);
  if (answer.status === 401) {
    find("inside").hidden = true;
    find("login").hidden = false;
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.error || `The service answered with status ${answer.status}.`);
  }
  return answer.status === 204 ? null : answer.json();
}

async function attempt(action) {
  complain("");
  try {
    await action();
  } catch (error) {
    complain(error instanceof TypeError ? "The service cannot be reached." : error.message);
  }
}

function newRow() {
  const row = find("job").content.firstElementChild.cloneNode(true);
  find("jobs").prepend(row);
  find("none").hidden = true;
  return row;
}

function removeRow(row) {
  row.remove();
  find("none").hidden = find("jobs").childElementCount > 0;
}

function link(job, name) {
  const a = document.createElement("a");
  a.href = `/api/jobs/${job.id}/results/${name.split("/").map(encodeURIComponent).join("/")}`;
  if (/\.(html|png|json)$/.test(name)) {
    a.target = "_blank";
    a.rel = "noopener";
  } else {
    a.download = "";
  }
  a.textContent = { "report.html": "Report", "report_interactive.html": "Interactive page" }[name] || name;
  return a;
}

function show(row, job) {
  const part = (name) => row.querySelector(`.${name}`);
  const ended = Boolean(job.ended);
  const detail = job.state === "running" ? STEPS[job.step] : job.before ? `${job.before} before it` : "";
  part("state").textContent = STATES[job.state] + (detail ? `: ${detail}` : "");
  part("when").textContent = new Date(job.created).toLocaleString();
  row.querySelector("progress").value = job.done;
  row.querySelector("progress").hidden = ended;
  part("reason").textContent = job.reason || "";
  const pages = job.results.filter((name) => name.endsWith(".html"));
  const rest = job.results.filter((name) => !pages.includes(name));
  part("results").replaceChildren(...[...pages, ...rest].map((name) => link(job, name)));
  part("cancel").hidden = ended;
  part("remove").hidden = !ended;
}

function follow(row, job) {
  if (rows.has(job.id)) return removeRow(row); // its event was here before the answer
  show(row, job);
  rows.set(job.id, row);
  row.querySelector(".cancel").onclick = () => attempt(() => ask(`/api/jobs/${job.id}/cancel`, { method: "POST" }));
  row.querySelector(".remove").onclick = () => attempt(async () => {
    await ask(`/api/jobs/${job.id}`, { method: "DELETE" });
    rows.delete(job.id);
    removeRow(row);
  });
}

function send(files) {
  if (!files.length) return;
  const form = new FormData();
  files.forEach((file, number) => {
    const suffix = SUFFIXES.find((end) => file.name.toLowerCase().endsWith(end)) || "";
    form.append("file", file, `${number}${suffix}`);
  });
  const row = newRow();
  const request = new XMLHttpRequest(); // fetch does not tell how much was sent
  const update = (done) => show(row, { state: "uploading", created: Date.now(), done, results: [] });
  update(0);
  row.querySelector(".cancel").onclick = () => request.abort();
  request.upload.onprogress = (event) => update(event.loaded / event.total);
  request.onload = () => {
    let told = {};
    try { told = JSON.parse(request.responseText); } catch { /* no words from the service */ }
    if (request.status === 201) return follow(row, told);
    removeRow(row);
    complain(told.error || `The service answered with status ${request.status}.`);
  };
  request.onerror = () => { removeRow(row); complain("The upload did not succeed: it is too large, or the service is away."); };
  request.onabort = () => removeRow(row);
  request.open("POST", "/api/jobs");
  complain("");
  request.send(form);
}

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((done, fail) => entry.file(done, fail))];
  const reader = entry.createReader();
  const found = [];
  for (;;) { // a reader gives a hundred at a time
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!some.length) return found;
    for (const one of some) found.push(...await filesOf(one));
  }
}

function listen() {
  const drop = find("drop");
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    });
  }
  document.addEventListener("drop", (event) => {
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    attempt(async () => send((await Promise.all(entries.map(filesOf))).flat()));
  });
  for (const [button, input] of [["choose-files", "files"], ["choose-folder", "folder"]]) {
    find(button).onclick = () => find(input).click();
    find(input).onchange = (event) => { send([...event.target.files]); event.target.value = ""; };
  }
  find("login").onsubmit = (event) => {
    event.preventDefault();
    attempt(() => login(find("token").value.trim()));
  };
}

async function login(token) {
  await ask("/api/login", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  await open();
}

async function open() {
  await ask("/api/jobs"); // or the login is shown
  find("login").hidden = true;
  find("inside").hidden = false;
  events?.close();
  events = new EventSource("/api/events"); // all jobs first; it connects again by itself after a restart
  events.addEventListener("job", ({ data }) => {
    const job = JSON.parse(data);
    if (rows.has(job.id)) show(rows.get(job.id), job);
    else follow(newRow(), job);
  });
}

listen();
const given = location.hash.slice(1);
history.replaceState(null, "", "/"); // the token leaves the address bar
attempt(() => (given ? login(given) : open())).then(() => { if (!given && !find("login").hidden) complain(""); });
