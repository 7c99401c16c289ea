// What a form cannot do: take a dropped file, record from the microphone, show and play what will be sent.
(() => {
  "use strict";
  const SECONDS_MAX = 60;
  const RATE = 16000;
  const at = (id) => document.getElementById(id);
  const input = at("recording");
  if (!input) return;
  const form = input.form;

  for (const one of document.querySelectorAll(".off")) one.classList.remove("off");

  // The picture and the sound of what is chosen.

  let address = "";

  const draw = (samples) => {
    const canvas = at("wave");
    const pen = canvas.getContext("2d");
    const middle = canvas.height / 2;
    canvas.setAttribute("aria-label", `The waveform of the recording, ${(samples.length / RATE).toFixed(1)} seconds`);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = getComputedStyle(canvas).color;
    const step = Math.max(1, Math.floor(samples.length / canvas.width));
    for (let x = 0; x < canvas.width; x += 2) {
      let peak = 0;
      for (let i = x * step; i < Math.min(samples.length, (x + 2) * step); i += 1) peak = Math.max(peak, Math.abs(samples[i]));
      pen.fillRect(x, middle - peak * middle, 1.4, Math.max(1, 2 * peak * middle));
    }
  };

  const decoded = async (blob) => {
    const audio = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer());
    const mono = new Float32Array(audio.length);
    for (let channel = 0; channel < audio.numberOfChannels; channel += 1) {
      const data = audio.getChannelData(channel);
      for (let i = 0; i < data.length; i += 1) mono[i] += data[i] / audio.numberOfChannels;
    }
    return mono;
  };

  const show = async (file, samples) => {
    at("heard").hidden = !file;
    if (address) URL.revokeObjectURL(address);
    address = file ? URL.createObjectURL(file) : "";
    if (!file) return;
    at("listen").src = address;
    try {
      draw(samples || (await decoded(file)));
      at("wave").hidden = false;
    } catch {
      at("wave").hidden = true; // of a kind that this browser does not decode; the service may
    }
  };

  const choose = (file, samples) => {
    const chosen = new DataTransfer();
    chosen.items.add(file);
    input.files = chosen.files;
    show(file, samples);
  };

  input.addEventListener("change", () => show(input.files[0]));

  // A file that is dropped.

  const drop = at("drop");
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) choose(event.dataTransfer.files[0]);
  });

  // The microphone.

  const wav = (samples) => {
    const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
    const words = (place, text) => [...text].forEach((one, i) => view.setUint8(place + i, one.charCodeAt(0)));
    words(0, "RIFF");
    view.setUint32(4, 36 + 2 * samples.length, true);
    words(8, "WAVEfmt ");
    view.setUint32(16, 16, true);
    view.setUint16(20, 1, true); // PCM
    view.setUint16(22, 1, true); // one channel
    view.setUint32(24, RATE, true);
    view.setUint32(28, 2 * RATE, true);
    view.setUint16(32, 2, true);
    view.setUint16(34, 16, true);
    words(36, "data");
    view.setUint32(40, 2 * samples.length, true);
    samples.forEach((one, i) => view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, one)) * 32767, true));
    return new File([view.buffer], "recorded.wav", { type: "audio/wav" });
  };

  const tell = (text) => { at("told").textContent = text; };
  if (!navigator.mediaDevices || !window.MediaRecorder) {
    at("record").disabled = true;
    tell("The microphone needs HTTPS, or a service on this machine; choose a file instead.");
  }

  const recording = (is) => {
    at("record").hidden = is;
    at("stop").hidden = !is;
    at("level").value = 0;
    (is ? at("stop") : at("record")).focus();
  };

  at("record").addEventListener("click", async () => {
    let stream;
    try {
      // The voice as it is: what makes calls pleasant makes voices alike.
      const asked = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      stream = await navigator.mediaDevices.getUserMedia({ audio: asked });
    } catch (error) {
      tell(error.name === "NotFoundError" ? "There is no microphone; choose a file instead." : "The browser may not use the microphone; allow it for this page, or choose a file.");
      return;
    }
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(analyser);
    const recorder = new MediaRecorder(stream, { audioBitsPerSecond: 128000 });
    const pieces = [];
    const began = performance.now();
    const window_ = new Float32Array(analyser.fftSize);
    recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
    const watch = setInterval(() => {
      analyser.getFloatTimeDomainData(window_);
      at("level").value = Math.sqrt(window_.reduce((sum, one) => Math.max(sum, Math.abs(one)), 0));
      const seconds = (performance.now() - began) / 1000;
      at("elapsed").textContent = `${Math.floor(seconds)} of ${SECONDS_MAX} s`;
      if (seconds >= SECONDS_MAX && recorder.state === "recording") recorder.stop();
    }, 100);
    recorder.addEventListener("stop", async () => {
      clearInterval(watch);
      for (const track of stream.getTracks()) track.stop();
      context.close();
      recording(false);
      try {
        const samples = await decoded(new Blob(pieces, { type: recorder.mimeType }));
        choose(wav(samples), samples);
        tell(`Recorded ${(samples.length / RATE).toFixed(1)} s. Listen to it, record again, or go on below.`);
      } catch {
        tell("The recording cannot be read; record again.");
      }
    });
    at("stop").onclick = () => recorder.state === "recording" && recorder.stop();
    recorder.start();
    recording(true);
    tell("Recording. Speak as on a telephone.");
  });

  // While it is sent.

  form.addEventListener("submit", () => {
    at("working").hidden = false;
    setTimeout(() => { for (const one of form.querySelectorAll("button")) one.disabled = true; }, 0);
  });
  window.addEventListener("pageshow", () => {
    at("working").hidden = true;
    for (const one of form.querySelectorAll("button")) one.disabled = one.id === "record" && !navigator.mediaDevices;
  });
})();
