BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE cost_samples (
	id INTEGER NOT NULL, 
	created_at VARCHAR NOT NULL, 
	device VARCHAR NOT NULL, 
	precision VARCHAR NOT NULL, 
	numeric_path VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	image_tokens INTEGER NOT NULL, 
	steps INTEGER NOT NULL, 
	text_tokens INTEGER NOT NULL, 
	negative_tokens INTEGER, 
	elapsed_s DOUBLE NOT NULL, 
	text_s DOUBLE, 
	steps_s DOUBLE, 
	decode_s DOUBLE, 
	png_s DOUBLE, 
	CONSTRAINT pk_cost_samples PRIMARY KEY (id)
);
CREATE TABLE deleted_images (
	id VARCHAR NOT NULL, 
	file VARCHAR NOT NULL, 
	CONSTRAINT pk_deleted_images PRIMARY KEY (id)
);
CREATE TABLE images (
	id VARCHAR NOT NULL, 
	job_id VARCHAR NOT NULL, 
	sheet_id VARCHAR, 
	parent_id VARCHAR, 
	family_id VARCHAR NOT NULL, 
	lane VARCHAR NOT NULL, 
	created_at VARCHAR NOT NULL, 
	elapsed_s DOUBLE NOT NULL, 
	estimate_s DOUBLE, 
	timings JSON NOT NULL, 
	model VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	numeric_path VARCHAR NOT NULL, 
	favourite BOOLEAN NOT NULL, 
	rejected_at VARCHAR, 
	file VARCHAR NOT NULL, 
	bytes INTEGER NOT NULL, 
	job JSON NOT NULL, 
	adjustments JSON NOT NULL, 
	prompt_folded VARCHAR NOT NULL, 
	seed INTEGER NOT NULL, 
	steps INTEGER NOT NULL, 
	guidance_scale DOUBLE NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	preset VARCHAR, 
	recipe VARCHAR NOT NULL, 
	CONSTRAINT pk_images PRIMARY KEY (id), 
	CONSTRAINT fk_images_job_id FOREIGN KEY(job_id) REFERENCES jobs (id), 
	CONSTRAINT uq_images_job_id UNIQUE (job_id)
);
INSERT INTO "images" VALUES('06h2n0vlpns3m7gpvrfms5nj9k','06h2n0vlpns3m7gpvrfms5nj9k',NULL,NULL,'06h2n0vlpns3m7gpvrfms5nj9k','draft','2026-11-30T08:13:18.196Z',1.5,2.5,'{"text_s": 0.1, "steps_s": 1.0, "decode_s": 0.2, "png_s": 0.05}','golden','0123456789','cpu-fp32',0,NULL,'images/2026-11/06h2n0vlpns3m7gpvrfms5nj9k.png',4258,'{"prompt": "a red fox", "negative_prompt": null, "seed": 7, "width": 256, "height": 256, "steps": 24, "guidance_scale": 1.0, "recipe": "full", "sampler": "unipc", "shift": 3.0, "noise_scale": 8.0, "noise": "linked", "profile": "hidream-o1-image", "requested_width": 256, "requested_height": 256, "snap_resolution": false, "preset": "quick", "parent_id": null, "finish_mode": null, "strength": null}','[{"field": "width", "asked": 250, "used": 256, "why": "rounded"}]','a red fox',7,24,1.0,256,256,'quick','full');
INSERT INTO "images" VALUES('06h2n0vmnj5gb65ab6sbacjah0','06h2n0vmnj5gb65ab6sbacjah0',NULL,'06h2n0vlpns3m7gpvrfms5nj9k','06h2n0vlpns3m7gpvrfms5nj9k','final','2026-11-30T08:13:18.420Z',1.5,NULL,'{"text_s": 0.0, "steps_s": 0.0, "decode_s": 0.0, "png_s": 0.0}','golden','0123456789','cpu-fp32',0,NULL,'images/2026-11/06h2n0vmnj5gb65ab6sbacjah0.png',4255,'{"prompt": "a red fox", "negative_prompt": null, "seed": 7, "width": 512, "height": 512, "steps": 50, "guidance_scale": 5.0, "recipe": "full", "sampler": "unipc", "shift": 3.0, "noise_scale": 8.0, "noise": "upstream", "profile": "hidream-o1-image", "requested_width": 512, "requested_height": 512, "snap_resolution": false, "preset": null, "parent_id": "06h2n0vlpns3m7gpvrfms5nj9k", "finish_mode": "re-render", "strength": null}','[]','a red fox',7,50,5.0,512,512,NULL,'full');
CREATE TABLE jobs (
	id VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	lane VARCHAR NOT NULL, 
	job JSON NOT NULL, 
	request JSON NOT NULL, 
	adjustments JSON NOT NULL, 
	created_at VARCHAR NOT NULL, 
	queue_order DOUBLE NOT NULL, 
	attempts INTEGER NOT NULL, 
	estimate_s DOUBLE, 
	started_at VARCHAR, 
	finished_at VARCHAR, 
	elapsed_s DOUBLE, 
	queued_s DOUBLE, 
	timings JSON, 
	error JSON, 
	image_id VARCHAR, 
	sheet_id VARCHAR, 
	CONSTRAINT pk_jobs PRIMARY KEY (id)
);
INSERT INTO "jobs" VALUES('06h2n0vlpns3m7gpvrfms5nj9k','finished','draft','{"prompt": "a red fox", "negative_prompt": null, "seed": 7, "width": 256, "height": 256, "steps": 24, "guidance_scale": 1.0, "recipe": "full", "sampler": "unipc", "shift": 3.0, "noise_scale": 8.0, "noise": "linked", "profile": "hidream-o1-image", "requested_width": 256, "requested_height": 256, "snap_resolution": false, "preset": "quick", "parent_id": null, "finish_mode": null, "strength": null}','{"prompt": "a red fox", "preset": "quick"}','[{"field": "width", "asked": 250, "used": 256, "why": "rounded"}]','2026-11-30T08:13:18.157Z',1.0,0,2.5,NULL,'2026-11-30T08:13:18.357Z',1.5,NULL,'{"text_s": 0.1, "steps_s": 1.0, "decode_s": 0.2, "png_s": 0.05}',NULL,'06h2n0vlpns3m7gpvrfms5nj9k',NULL);
INSERT INTO "jobs" VALUES('06h2n0vlpnvdkf9g06658rd7ms','queued','final','{"prompt": "a blue boat", "negative_prompt": null, "seed": 7, "width": 256, "height": 256, "steps": 50, "guidance_scale": 5.0, "recipe": "full", "sampler": "unipc", "shift": 3.0, "noise_scale": 8.0, "noise": "upstream", "profile": "hidream-o1-image", "requested_width": 256, "requested_height": 256, "snap_resolution": false, "preset": null, "parent_id": null, "finish_mode": null, "strength": null}','{"prompt": "a blue boat"}','[]','2026-11-30T08:13:18.157Z',2.0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('06h2n0vlppmtda9m8kccpsa3m8','failed','draft','{"prompt": "a star", "negative_prompt": "blur", "seed": 7, "width": 256, "height": 256, "steps": 50, "guidance_scale": 5.0, "recipe": "full", "sampler": "unipc", "shift": 3.0, "noise_scale": 8.0, "noise": "upstream", "profile": "hidream-o1-image", "requested_width": 256, "requested_height": 256, "snap_resolution": false, "preset": null, "parent_id": null, "finish_mode": null, "strength": null}','{}','[]','2026-11-30T08:13:18.158Z',1.0,1,NULL,NULL,NULL,1.25,0.5,'{"text_s": 0.1, "steps_s": 1, "decode_s": 0.1, "png_s": 0.05}','{"code": "out_of_memory", "message": "too large"}',NULL,NULL);
INSERT INTO "jobs" VALUES('06h2n0vmnj5gb65ab6sbacjah0','finished','final','{"prompt": "a red fox", "negative_prompt": null, "seed": 7, "width": 512, "height": 512, "steps": 50, "guidance_scale": 5.0, "recipe": "full", "sampler": "unipc", "shift": 3.0, "noise_scale": 8.0, "noise": "upstream", "profile": "hidream-o1-image", "requested_width": 512, "requested_height": 512, "snap_resolution": false, "preset": null, "parent_id": "06h2n0vlpns3m7gpvrfms5nj9k", "finish_mode": "re-render", "strength": null}','{}','[]','2026-11-30T08:13:18.396Z',1.0,0,NULL,NULL,'2026-11-30T08:13:18.451Z',1.5,NULL,'{"text_s": 0.0, "steps_s": 0.0, "decode_s": 0.0, "png_s": 0.0}',NULL,'06h2n0vmnj5gb65ab6sbacjah0',NULL);
CREATE TABLE settings (
	"key" VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	CONSTRAINT pk_settings PRIMARY KEY ("key")
);
CREATE INDEX ix_jobs_sheet_id ON jobs (sheet_id);
CREATE INDEX ix_jobs_state_queue_order ON jobs (state, queue_order);
CREATE INDEX ix_images_family_id ON images (family_id);
CREATE INDEX ix_images_parent_id ON images (parent_id);
CREATE INDEX ix_images_sheet_id ON images (sheet_id);
COMMIT;
