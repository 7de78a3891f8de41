// A photo of the installation, made small on the phone: a mast's link need not carry twelve megapixels.

const MAX_EDGE_PX = 1280;
const JPEG_QUALITY = 0.85;

/** Return a picture file as a JPEG of at most MAX_EDGE_PX, without the place and the names that phones write into it. */
export async function shrinkPhoto(file) {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, MAX_EDGE_PX / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob === null ? reject(new Error("toBlob")) : resolve(blob)), "image/jpeg", JPEG_QUALITY);
  });
}
